"""Every metric of a node, declared in one place with its meaning; docs/reference/metrics.md lists them.

A label has few values. Values that are known beforehand are declared with the metric, so that their series exist from
the start: a rate over a series that appears with the first failure misses that failure. The other labels are bounded by
what they name: routes of the API, configured keys, statements in `.sql` files, actors of the tree, rows of `occasions`,
living nodes.
"""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable
from importlib.metadata import version
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.metrics import MetricWrapperBase

from service.domain.email_events import EVENT_FORMATS, EmailEventKind
from service.domain.holds import EVERYTHING
from service.domain.limits import LimitName
from service.domain.messages import EmailServiceName, Outcome, Status, UnavailableReason
from service.domain.retry import RetryReason
from service.domain.suppressions import ONLY_TO, SuppressionReason
from service.domain.zones import TZDATA_VERSION, released
from service.ports.names import STREAMS

M = TypeVar("M", bound=MetricWrapperBase)

_CALL = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LATENESS = (
    *(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 45, 60),
    # Beyond the objective the buckets measure an outage. A percentile is as exact as its bucket.
    *(90, 120, 180, 300, 600, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600, 48 * 3600),
)
_QUERY = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_REQUEST = (*_QUERY, 30, 60, 300)
"""An import of 100,000 users is one request."""
_JOB = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300)

SERVICE = "message-api"
CIRCUITS = {EmailServiceName.PRIMARY: SERVICE, EmailServiceName.FALLBACK: "message-api-fallback"}
"""The names of the email services in the metrics of their circuits. Nodes without a fallback have the first alone."""

JOBS = ("daily", "minute", "recovery")

MOVES = (
    "claim_due",
    "requeue",
    "requeue_claim",
    "requeue_lost",
    "claim_for_sending",
    "record",
    "release_claims",
    "mark_dead_lettered",
    "redrive",
    "plan_range",
    "follow_zones",
)
"""Moves of messages, and the making of them, at which a row can be set aside."""

WAITING = (Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.RETRYING, Status.UNKNOWN, Status.FAILED)
"""States with a gauge: those before an end, and `unknown` and `failed`, which a person may redrive."""


class Metrics:
    """The metrics of one node, by its id, in a registry of their own: several nodes may live in one process."""

    def __init__(self, node: str = "") -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, text: str, *labels: str, known: Iterable[str | tuple[str, ...]] = ()) -> Counter:
            return _with_series(Counter(name, text, labels, registry=registry), known)

        def gauge(name: str, text: str, *labels: str, known: Iterable[str | tuple[str, ...]] = ()) -> Gauge:
            return _with_series(Gauge(name, text, labels, registry=registry), known)

        def histogram(
            name: str,
            text: str,
            buckets: tuple[float, ...],
            *labels: str,
            known: Iterable[str | tuple[str, ...]] = (),
        ) -> Histogram:
            return _with_series(Histogram(name, text, labels, buckets=buckets, registry=registry), known)

        self.queue_depth = gauge("queue_depth_total", "Messages queued: handed out, and not yet claimed for sending.")
        self.queue_enqueued = counter("queue_messages_enqueued", "Messages published to the delivery queue.")
        self.queue_processed = counter("queue_messages_processed", "Messages taken from the delivery queue.")
        self.queue_failed = counter(
            "queue_messages_failed", "Messages that the delivery queue did not confirm, or that became dead letters."
        )
        self.queue_lost = counter(
            "queue_messages_lost", "Messages that the delivery queue took and did not deliver: recovery took them back."
        )
        self.queue_ready = gauge("delivery_queue_ready", "Bundles in the delivery queue that no node has taken.")
        self.dead_letters = gauge("dead_letters", "Messages in the dead-letter queue.")

        self.planned = counter("messages_planned", "Messages made by planning.")
        self.sent = counter("messages_sent", "Messages recorded as sent.", "occasion")
        self.sent_by_service = counter(
            "messages_sent_by_service",
            "Messages recorded as sent, by the email service that took them.",
            "service",
            known=[SERVICE],
        )
        self.failed = counter("messages_failed", "Messages recorded as failed.", "occasion")
        self.expired = counter("messages_expired", "Messages that were too late to send.", "occasion")
        self.retried = counter("messages_retried", "Messages that will be tried again, by why.", "cause", "occasion")
        self.unknown = counter("messages_outcome_unknown", "Attempts whose outcome is unknown.", "occasion")
        self.set_aside = counter(
            "messages_set_aside", "Times that a message was set aside: its row cannot change.", "action", known=MOVES
        )
        self.delivery = histogram(
            "message_delivery_duration_seconds", "One call of the email service.", _CALL, "outcome", known=Outcome
        )
        self.lateness = histogram(
            "message_lateness_seconds", "First accepted attempt minus the send instant.", _LATENESS, "occasion"
        )
        self.by_status = gauge(
            "messages_by_status", "Messages on their way, or waiting for a person.", "status", known=WAITING
        )
        self.oldest_due = gauge(
            "oldest_due_message_age_seconds",
            "Seconds since the oldest unsent message that is not held became due.",
        )
        self.next_wave = gauge("next_wave_seconds", "Seconds until the next scheduled messages become due.")
        self.next_wave_messages = gauge("next_wave_messages", "Messages that become due at that instant.")
        self.suppressed = counter(
            "duplicates_suppressed",
            "Repeated work that was dropped, by the check that noticed it.",
            "by",
            known=("row", "record", "dedupe", "range"),
        )

        self.sending_held = gauge(
            "sending_held", "1 while an occasion, or everything, is held; otherwise 0.", "occasion", known=[EVERYTHING]
        )
        self.addresses_suppressed = counter(
            "suppressed",
            "Messages that were cancelled because nothing may be written to the address.",
            "reason",
            known=(*SuppressionReason, ONLY_TO),
        )

        self.email_events = counter(
            "email_events",
            "Events in the webhooks of email services.",
            "format",
            "event",
            known=[(one, kind) for one in EVENT_FORMATS for kind in EmailEventKind],
        )

        self.circuit_state = gauge(
            "circuit_breaker_state", "0 closed, 1 open, 2 half-open.", "service", known=[SERVICE]
        )
        self.email_service_state = gauge(
            "email_service_state",
            "1 for the reason why the circuit is not closed, 0 for the others.",
            "reason",
            known=UnavailableReason,
        )
        self.email_rate_limit = gauge(
            "email_rate_limit_per_second",
            "Calls of the email service that all nodes may make now; +Inf without a limit, 0 during a pause.",
        )
        self.email_rate_configured = gauge(
            "email_rate_configured_per_second",
            "Calls of the email service that all nodes may make by your setting or limit; +Inf without one.",
        )
        self.email_concurrency = gauge(
            "email_concurrency", "Calls that this node may have in flight at an email service."
        )
        self.limit_in_effect = gauge(
            "limit_in_effect",
            "1 while a run-time limit stands above the setting of its name; otherwise 0.",
            "limit",
            known=LimitName,
        )
        self.circuit_failures = counter(
            "circuit_breaker_failures", "Calls that count against the circuit.", "service", known=[SERVICE]
        )
        self.circuit_successes = counter(
            "circuit_breaker_successes", "Calls that count for the circuit.", "service", known=[SERVICE]
        )

        self.db_active = gauge("db_connections_active", "Connections of the pool in use.")
        self.db_idle = gauge("db_connections_idle", "Connections of the pool that are open and idle.")
        self.db_max = gauge("db_connections_max", "Connections that the pool may open.")
        self.db_waiting = gauge("db_connections_waiting", "Statements that wait for a connection of the pool.")
        self.db_oldest_snapshot = gauge(
            "db_oldest_snapshot_age_seconds",
            "Age of the oldest transaction that keeps old row versions from being cleaned up.",
        )
        self.db_wait = histogram(
            "db_connection_wait_seconds", "One wait for a connection while all of the pool were in use.", _QUERY
        )
        self.db_query = histogram(
            "db_query_duration_seconds", "One statement, with the wait for a connection.", _QUERY, "query"
        )

        self.http = histogram(
            "http_request_duration_seconds", "One request to the API.", _REQUEST, "method", "route", "status_code"
        )
        self.http_requests = counter("http_requests", "Requests to the API.", "method", "route", "status_code")

        self.http_requests_by_key = counter(
            "http_requests_by_key", "Requests to the API with a valid key, by its name.", "key"
        )

        self.stream_pending = gauge("stream_pending", "Entries claimed by a node and not finished.", "stream")
        self.stream_consumer_pending = gauge(
            "stream_consumer_pending", "Entries claimed and not finished, by node.", "stream", "consumer"
        )
        self.stream_oldest_pending = gauge(
            "stream_oldest_pending_seconds", "Age of the oldest entry claimed and not finished.", "stream"
        )
        self.stream_length = gauge("stream_length", "Entries in the stream.", "stream")
        self.stream_reclaimed = counter(
            "stream_reclaimed", "Entries put back because their node died.", "stream",
            known=STREAMS,
        )  # fmt: skip

        self.dependency_up = gauge("dependency_up", "1, or 0 while actors of this node wait for the system.", "system")
        self.outages = counter("outages", "Times that a server went away.", "system")
        self.actor_restarts = counter("actor_restarts", "Restarts of an actor after a crash.", "actor")
        self.task_failures = counter("actor_task_failures", "Tasks of an actor that failed without it.", "actor")
        self.actor_mailbox = gauge("actor_mailbox_depth", "Messages waiting in an actor's mailbox.", "actor")
        self.loop_lag = gauge(
            "event_loop_lag_seconds", "The longest delay of a timer of the event loop in the last 30 seconds."
        )

        self.clock_skew = gauge("clock_skew_seconds", "The node's clock minus the database's.")
        self.clock_jumps = counter("clock_jumps", "Jumps of the database's clock that were noticed.")
        self.planned_ahead = gauge("planned_ahead_seconds", "How far ahead planning is complete.")
        self.nodes_living = gauge("nodes_living", "Nodes not found dead, this one included.")
        self.node_deaths = counter("node_deaths", "Nodes that this node found dead.")
        self.job_runs = counter(
            "job_runs", "Runs of a job on this node.", "job", "outcome",
            known=[
                *((job, outcome) for job in JOBS for outcome in ("done", "failed")),
                ("daily", "done_by_another"), ("daily", "nothing_to_do"),
            ],
        )  # fmt: skip
        self.job_duration = histogram("job_duration_seconds", "One run of a job.", _JOB, "job", known=JOBS)
        self.job_success = gauge(
            "job_last_success_timestamp_seconds", "When the work of the job was last done, as seen by this node.", "job"
        )

        self.tzdata_released = gauge(
            "tzdata_release_timestamp_seconds", "The earliest time at which the tzdata release can have been made."
        )
        self.tzdata_released.set(released().timestamp())
        self.info = gauge("heyday_info", "Always 1; the labels name versions.", "node", "version", "tzdata")
        self.name_node(node)

    def name_node(self, name: str) -> None:
        """Use this name of the node in `heyday_info`, and no other."""
        self.info.clear()
        self.info.labels(name, version("heyday"), TZDATA_VERSION).set(1)

    def initialize_series(self, *, occasions: Iterable[str] = (), systems: Iterable[str] = ()) -> None:
        """Create the series of these occasions, and of the servers that this node depends on."""
        for occasion in occasions:
            for of_occasion in (self.sent, self.failed, self.expired, self.unknown, self.lateness):
                of_occasion.labels(occasion)
            for cause in RetryReason:
                self.retried.labels(cause, occasion)
        for system in systems:
            self.outages.labels(system)
            self.dependency_up.labels(system).set(1)

    def claims_freed(self, freed: Iterable[tuple[Status, str, EmailServiceName | None]]) -> None:
        """Count attempts that their node lost, each as its message's new state, occasion and email service.

        The lateness of one that an earlier attempt sent is not known here.
        """
        for (status, occasion, service), count in Counted(freed).items():
            self.unknown.labels(occasion).inc(count)
            if status is Status.SENT:
                self.sent.labels(occasion).inc(count)
                self.sent_by_service.labels(CIRCUITS[service or EmailServiceName.PRIMARY]).inc(count)


def _with_series(metric: M, known: Iterable[str | tuple[str, ...]]) -> M:
    for values in known:
        metric.labels(*((values,) if isinstance(values, str) else values))
    return metric
