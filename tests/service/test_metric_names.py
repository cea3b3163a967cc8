"""The names under which metrics are promised to those who build dashboards and alerts on them."""

from __future__ import annotations

from service.telemetry.metrics import Metrics

CONTRACT = {
    "queue_depth_total",
    "queue_messages_enqueued_total",
    "queue_messages_processed_total",
    "queue_messages_failed_total",
    "messages_sent_total",
    "messages_failed_total",
    "message_delivery_duration_seconds",
    "circuit_breaker_state",
    "circuit_breaker_failures_total",
    "circuit_breaker_successes_total",
    "db_connections_active",
    "db_connections_idle",
    "db_connections_max",
    "db_query_duration_seconds",
    "http_request_duration_seconds",
    "http_requests_total",
    "message_lateness_seconds",
    "messages_by_status",
    "oldest_due_message_age_seconds",
    "messages_outcome_unknown_total",
    "duplicates_suppressed_total",
    "stream_pending",
    "stream_reclaimed_total",
    "actor_restarts_total",
    "actor_mailbox_depth",
    "clock_skew_seconds",
    "job_runs_total",
    "job_duration_seconds",
}


def test_every_metric_of_the_contract_exists_under_its_name() -> None:
    """An alert on a metric that does not exist never fires."""
    names = set()
    for family in Metrics().registry.collect():
        # Prometheus adds the ending of a counter itself.
        names.add(family.name + "_total" if family.type == "counter" else family.name)

    assert names >= CONTRACT
