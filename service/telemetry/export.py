"""The export of spans to a collector: sampling, resource attributes, and a queue that no actor waits for.

The SDK keeps spans in a bounded queue and sends them from its own thread. Its variables apply (OTEL_TRACES_SAMPLER,
OTEL_BSP_*, OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES, …), except for the endpoint.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

PATH = "/v1/traces"

QUEUE_SIZE = 8192
"""Spans that wait for the collector, about 2 kB each: one second of a wave in which every span is sampled."""

LOSS_LOG_INTERVAL = 60.0
"""Seconds between two log lines about lost spans."""


class Export:
    """The export to one collector. `tracer` makes spans for it, sampled as the environment says."""

    def __init__(self, url: str, *, node: str, exporter: SpanExporter | None = None) -> None:
        base = url.rstrip("/")
        endpoint = base if base.endswith(PATH) else base + PATH
        self._exporter = _Enduring(exporter or OTLPSpanExporter(endpoint=endpoint), node=node)
        # The end of the interpreter does not close it: that would take up to half a minute.
        self._provider = TracerProvider(resource=_resource(node), shutdown_on_exit=False)
        self._provider.sampler = FollowingSampler(self._provider.sampler)
        self._provider.add_span_processor(_CountingProcessor(self._exporter, _queue_size()))
        self.tracer = self._provider.get_tracer("heyday", version("heyday"))

    async def close(self, *, within: float) -> None:
        """Send the spans in the queue. Those not sent within so many seconds are lost."""
        loop = asyncio.get_running_loop()
        closed = asyncio.Event()

        def close() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is over
                loop.call_soon_threadsafe(closed.set)

        # Nothing joins this thread, because the collector may never answer.
        threading.Thread(target=close, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(within):
                await closed.wait()
        except TimeoutError:
            self._exporter.give_up()


class FollowingSampler(Sampler):
    """Samples a span that follows others across a queue if one of them was sampled. For the rest `otherwise` decides.

    So the decision is made once, at a claim or a request, and a sampled trace is complete up to the attempts.
    """

    def __init__(self, otherwise: Sampler) -> None:
        self._otherwise = otherwise

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        sampler = self._otherwise
        if links and not get_current_span(parent_context).get_span_context().is_valid:
            sampler = ALWAYS_ON if any(link.context.trace_flags.sampled for link in links) else ALWAYS_OFF
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"FollowingSampler{{{self._otherwise.get_description()}}}"


class _CountingProcessor(BatchSpanProcessor):
    """The processor of the SDK, which drops the oldest span when its queue is full. This one counts them."""

    def __init__(self, exporter: _Enduring, size: int) -> None:
        super().__init__(exporter, max_queue_size=size)
        self._to = exporter
        self._size = size
        self._ended = 0

    def on_end(self, span: ReadableSpan) -> None:
        if self._ended - self._to.taken - self._to.overflowed >= self._size:
            self._to.overflowed += 1
        self._ended += 1
        super().on_end(span)


class _Enduring(SpanExporter):
    """Logs an outage of the collector once at its start, and once at its end with the number of lost spans.

    `taken` counts spans that the thread took from the queue. `overflowed` counts those that the full queue dropped.
    """

    def __init__(self, exporter: SpanExporter, *, node: str) -> None:
        self._exporter = exporter
        # The thread does not have the fields that every log line of the node has. They are bound late, because the logs
        # of a node are configured after its tracing.
        self._fields = {"node": node, "system": "traces"}
        self._away_since: float | None = None
        self.taken = self.overflowed = 0
        self._failed = self._logged = 0
        self._logged_at = float("-inf")
        self._gave_up = False

    @property
    def _log(self) -> structlog.typing.FilteringBoundLogger:
        bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__).bind(**self._fields)
        return bound

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._exporter.export(spans)
        now = time.monotonic()
        if result is not SpanExportResult.SUCCESS:
            self._failed += len(spans)
            if self._away_since is None and not self._gave_up:
                self._away_since = now
                self._log.warning("outage_began", reason="the collector does not take spans")
        elif self._away_since is not None:
            self._log.info("outage_ended", seconds=round(now - self._away_since, 3), lost=self._newly_lost(now))
            self._away_since = None
        elif self._failed + self.overflowed > self._logged and now - self._logged_at >= LOSS_LOG_INTERVAL:
            self._log.warning("spans_lost", count=self._newly_lost(now), reason="more were made than could be sent")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def give_up(self) -> None:
        """Stop to try: the node ends now."""
        self._gave_up = True
        if self._away_since is None:
            self._log.warning("spans_lost", reason="the collector did not answer while the node left")
        self._exporter.shutdown()

    def _newly_lost(self, now: float) -> int:
        """The spans lost since the last log line."""
        lost = self._failed + self.overflowed
        count, self._logged, self._logged_at = lost - self._logged, lost, now
        return count


def _queue_size() -> int:
    text = os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE, "")
    return int(text) if text.isdecimal() and int(text) > 0 else QUEUE_SIZE


def _resource(node: str) -> Resource:
    ours = {"service.name": "heyday", "service.version": version("heyday"), "service.instance.id": node}
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})
