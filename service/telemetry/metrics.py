"""Every metric of a node, declared in one place with its meaning; docs/reference/metrics.md lists them."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

_CALL = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LATENESS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 48 * 3600)
_QUERY = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_JOB = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300)


class Metrics:
    """The metrics of one node, in a registry of their own: several nodes may live in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=registry)

        self.queue_depth = gauge("queue_depth_total", "Messages queued: handed out, and not yet claimed for sending.")
        self.queue_enqueued = counter("queue_messages_enqueued", "Messages published to the delivery queue.")
        self.queue_processed = counter("queue_messages_processed", "Messages taken from the delivery queue.")
        self.queue_failed = counter("queue_messages_failed", "Messages whose publishing was not confirmed.")
        self.dead_letters = gauge("dead_letters", "Messages in the dead-letter queue.")

        self.sent = counter("messages_sent", "Messages recorded as sent.", "occasion")
        self.failed = counter("messages_failed", "Messages recorded as failed.", "occasion")
        self.expired = counter("messages_expired", "Messages that were too late to send.")
        self.retried = counter(
            "messages_retried", "Attempts that will be followed by another, by what they came to.", "outcome"
        )
        self.unknown = counter("messages_outcome_unknown", "Attempts whose outcome nobody knows.")
        self.delivery = histogram(
            "message_delivery_duration_seconds", "One call of the email service.", _CALL, "outcome"
        )
        self.lateness = histogram(
            "message_lateness_seconds", "First accepted attempt minus the due instant.", _LATENESS, "occasion"
        )
        self.by_status = gauge("messages_by_status", "Messages in each state that is not an end.", "status")
        self.oldest_due = gauge("oldest_due_message_age_seconds", "How long the oldest due message has waited.")
        self.suppressed = counter("duplicates_suppressed", "Repeated work that was dropped, by what noticed it.", "by")

        self.circuit_state = gauge("circuit_breaker_state", "0 closed, 1 open, 2 half-open.", "service")
        self.circuit_failures = counter("circuit_breaker_failures", "Calls that count against the circuit.", "service")
        self.circuit_successes = counter("circuit_breaker_successes", "Calls that count for the circuit.", "service")

        self.db_active = gauge("db_connections_active", "Connections of the pool in use.")
        self.db_idle = gauge("db_connections_idle", "Connections of the pool that are open and idle.")
        self.db_max = gauge("db_connections_max", "Connections that the pool may open.")
        self.db_query = histogram(
            "db_query_duration_seconds", "One statement, with the wait for a connection.", _QUERY, "query"
        )

        self.http = histogram(
            "http_request_duration_seconds", "One request to the API.", _QUERY, "method", "route", "status_code"
        )
        self.http_requests = counter("http_requests", "Requests to the API.", "method", "route", "status_code")

        self.stream_pending = gauge("stream_pending", "Entries claimed by a node and not finished.", "stream")
        self.stream_length = gauge("stream_length", "Entries in the stream.", "stream")
        self.stream_reclaimed = counter("stream_reclaimed", "Entries put back because their node had died.", "stream")

        self.actor_restarts = counter("actor_restarts", "Restarts of an actor after a crash.", "actor")
        self.actor_mailbox = gauge("actor_mailbox_depth", "Messages waiting in an actor's mailbox.", "actor")
        self.loop_lag = gauge("event_loop_lag_seconds", "How late the event loop runs what is due.")

        self.clock_skew = gauge("clock_skew_seconds", "The node's clock minus the database's.")
        self.clock_jumps = counter("clock_jumps", "Jumps of the database's clock that were noticed.")
        self.planned_ahead = gauge("planned_ahead_seconds", "How far ahead planning is complete.")
        self.planned = counter("messages_planned", "Messages made by planning.")
        self.node_deaths = counter("node_deaths", "Nodes that this node found dead.")
        self.job_runs = counter("job_runs", "Runs of a job on this node.", "job", "outcome")
        self.job_duration = histogram("job_duration_seconds", "One run of a job.", _JOB, "job")
