"""Logs are lines that a machine can read and that hold no secret; metrics have the names that dashboards use."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service.telemetry.logs import configure
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


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_every_metric_of_the_contract_exists_under_its_name() -> None:
    """An alert on a metric that does not exist never fires."""
    names = set()
    for family in Metrics().registry.collect():
        # Prometheus adds the ending of a counter itself.
        names.add(family.name + "_total" if family.type == "counter" else family.name)

    assert names >= CONTRACT


def test_two_nodes_in_one_process_count_apart() -> None:
    """Tests and the benchmark run several."""
    one, other = Metrics(), Metrics()

    one.sent.labels("birthday").inc()

    assert other.registry.get_sample_value("messages_sent_total", {"occasion": "birthday"}) is None


def test_a_line_is_json_with_its_fields_and_those_of_the_node() -> None:
    """An event name and fields: what a log search can ask for."""
    stream = io.StringIO()
    configure("info", "json", stream=stream, node="node-1")

    structlog.get_logger("test").info("node_entered", incarnation=7)
    logging.getLogger("library").warning("it says %s", "something")

    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (ours["event"], ours["incarnation"], ours["node"], ours["level"]) == ("node_entered", 7, "node-1", "info")
    assert (theirs["event"], theirs["logger"], theirs["node"]) == ("it says something", "library", "node-1")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values(form: str) -> None:
    """The variables of a frame hold names, addresses and passwords."""
    stream = io.StringIO()
    configure("info", form, stream=stream, node="node-1")

    def fails(secret: str) -> None:
        raise ValueError("what went wrong")

    try:
        fails("sesame")
    except ValueError:
        structlog.get_logger("test").exception("actor_crashed")

    assert "what went wrong" in stream.getvalue()
    assert "sesame" not in stream.getvalue().replace('fails("sesame")', "")


def test_what_is_below_the_level_is_not_written() -> None:
    """Debug lines of a wave would cost more than the wave."""
    stream = io.StringIO()
    configure("warning", "json", stream=stream, node="node-1")

    structlog.get_logger("test").info("too_much")

    assert stream.getvalue() == ""
