"""The metrics of a node as a scraper reads them."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.samples import Sample

from service.domain.messages import EmailServiceName, Status
from service.telemetry.metrics import Metrics


def test_two_nodes_in_one_process_count_on_their_own() -> None:
    """The library has one registry per process. Each node has its own."""
    one, other = Metrics(), Metrics()

    one.sent.labels("birthday").inc(3)

    assert one.registry.get_sample_value("messages_sent_total", {"occasion": "birthday"}) == 3
    assert other.registry.get_sample_value("messages_sent_total", {"occasion": "birthday"}) is None


def test_metrics_without_labels_are_there_before_anything_happens() -> None:
    """A rate over a counter that does not exist misses its first increase, and an alert on it never fires."""
    text = generate_latest(Metrics().registry).decode()

    assert "\nqueue_messages_failed_total 0.0\n" in text
    assert "\nmessages_planned_total 0.0\n" in text
    assert "\nclock_skew_seconds 0.0\n" in text


def test_the_process_is_measured_too() -> None:
    """Dashboards for Python expect memory, descriptors and collections."""
    registry = Metrics().registry

    assert (registry.get_sample_value("process_resident_memory_bytes") or 0) > 0
    assert registry.get_sample_value("python_gc_collections_total", {"generation": "0"}) is not None


def test_lateness_is_told_from_a_moment_to_two_days() -> None:
    """It shows how punctual greetings are, and how much of the late limit an outage has used."""
    metrics = Metrics()

    metrics.lateness.labels("birthday").observe(0.02)
    metrics.lateness.labels("birthday").observe(47 * 3600)

    def at_most(bound: str) -> float | None:
        return metrics.registry.get_sample_value(
            "message_lateness_seconds_bucket", {"occasion": "birthday", "le": bound}
        )

    assert [at_most(bound) for bound in ("0.01", "0.05", "86400.0", "172800.0")] == [0, 1, 1, 2]


def test_a_message_found_sent_after_its_node_died_is_counted_by_service_too() -> None:
    """The messages sent by occasion and those by service have one sum."""
    metrics = Metrics()

    metrics.claims_freed(
        [(Status.SENT, "birthday", EmailServiceName.FALLBACK)] * 2
        + [(Status.SENT, "birthday", None), (Status.RETRYING, "birthday", EmailServiceName.PRIMARY)]
    )

    value = metrics.registry.get_sample_value
    assert value("messages_sent_total", {"occasion": "birthday"}) == 3
    assert value("messages_sent_by_service_total", {"service": "message-api-fallback"}) == 2
    assert value("messages_sent_by_service_total", {"service": "message-api"}) == 1
    assert value("messages_outcome_unknown_total", {"occasion": "birthday"}) == 4


def test_lateness_around_the_objective_is_told_to_half_a_minute_or_so() -> None:
    """A percentile is interpolated in its bucket: without one between 60 and 300 s, a wave 100 s late read as 300 s."""
    bounds = [float(sample.labels["le"]) for sample in _buckets(Metrics(), 100.0)]
    below = max(bound for bound in bounds if bound < 100)
    above = min(bound for bound in bounds if bound >= 100)

    assert 60 in bounds  # the objective, of which the alerts ask
    assert above - below <= 30


def _buckets(metrics: Metrics, value: float) -> list[Sample]:
    metrics.lateness.labels("birthday").observe(value)
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    return [sample for sample in samples if sample.name == "message_lateness_seconds_bucket"]
