"""Spans follow one another across queues, are counted when lost, and delay nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import Link, SpanContext, TraceFlags

from service.settings import BadConfiguration, Secret, Settings
from service.telemetry.export import Export, FollowingSampler
from service.telemetry.tracing import start


class Slow(SpanExporter):
    """A collector that accepts spans when the test lets it."""

    def __init__(self) -> None:
        self.asked, self.goes_on = threading.Event(), threading.Event()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        assert self.goes_on.wait(30)
        self.taken += len(spans)
        return SpanExportResult.SUCCESS


def before(*, sampled: bool) -> Link:
    """A link to a span across a queue."""
    return Link(SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED if sampled else 0)))


@pytest.mark.parametrize(
    ("otherwise", "links", "sampled"),
    [
        (ALWAYS_OFF, [before(sampled=True), before(sampled=False)], True),
        (ALWAYS_ON, [before(sampled=False)], False),
        (ALWAYS_ON, [], True),
        (ALWAYS_OFF, [], False),
    ],
)
def test_a_span_is_sampled_as_those_that_it_follows(otherwise: Sampler, links: list[Link], sampled: bool) -> None:
    """A trace that ends at a queue explains nothing."""
    provider = TracerProvider(FollowingSampler(otherwise), shutdown_on_exit=False)

    span = provider.get_tracer("test").start_span("deliver", links=links)

    assert span.is_recording() is sampled
    span.end()


async def test_a_span_that_finds_the_queue_full_is_counted_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partial trace misleads a reader who does not know that spans were lost."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "512")
    collector = Slow()
    with structlog.testing.capture_logs() as lines:
        export = Export("http://collector", node="node-1", exporter=collector)
        for _ in range(512):
            export.tracer.start_span("first").end()
        assert collector.asked.wait(30)
        for _ in range(600):
            export.tracer.start_span("later").end()
        collector.goes_on.set()
        await export.close(within=30)

    assert collector.taken == 1024
    [line] = lines
    assert (line["event"], line["count"], line["node"]) == ("spans_lost", 88, "node-1")


def test_variables_that_contradict_one_another_are_mistakes_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are reported without a traceback."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    urls = Secret("postgresql://h/d"), Secret("redis://h"), Secret("http://h")

    with pytest.raises(BadConfiguration, match="max_export_batch_size"):
        start(Settings(*urls, traces_url=Secret("http://collector:4318")))
