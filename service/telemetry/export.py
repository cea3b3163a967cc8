"""Where spans go: which are sampled, whose they are, and how they reach the collector without anybody waiting for it.

The SDK gathers them in a queue with a bound and sends them from a thread of its own. Its variables hold
(OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES, …), but for the endpoint.
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

QUEUE = 8192
"""Spans that wait for the collector at most, some 2 kB each: a second of a wave in which everything is sampled."""

TELL_EVERY = 60.0
"""Seconds between two lines about spans that found the queue full."""


class Export:
    """The way to one collector. `tracer` makes spans that take it, sampled as the environment says."""

    def __init__(self, url: str, *, node: str, exporter: SpanExporter | None = None) -> None:
        base = url.rstrip("/")
        endpoint = base if base.endswith(PATH) else base + PATH
        self._exporter = _Enduring(exporter or OTLPSpanExporter(endpoint=endpoint), node=node)
        # Not closed by the interpreter's end, which would wait for half a minute.
        self._provider = TracerProvider(resource=_resource(node), shutdown_on_exit=False)
        self._provider.sampler = AsThatBefore(self._provider.sampler)
        self._provider.add_span_processor(_Gatherer(self._exporter, _queue_size()))
        self.tracer = self._provider.get_tracer("heyday", version("heyday"))

    async def close(self, *, within: float) -> None:
        """Send what is gathered; what was not sent within so many seconds is lost."""
        loop = asyncio.get_running_loop()
        closed = asyncio.Event()

        def close() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is over
                loop.call_soon_threadsafe(closed.set)

        # A thread that nobody joins: the collector may never answer it.
        threading.Thread(target=close, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(within):
                await closed.wait()
        except TimeoutError:
            self._exporter.give_up()


class AsThatBefore(Sampler):
    """A span that follows others across a queue is sampled if one of them was; for the rest `otherwise` decides.

    The decision is made once, then, where a claim or a request begins: what is sampled is complete up to the attempts.
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
        return f"AsThatBefore{{{self._otherwise.get_description()}}}"


class _Gatherer(BatchSpanProcessor):
    """The SDK's own, which drops the oldest span when its queue is full; this one counts them."""

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
    """Says once that the collector is away, with the first failure, and once that it is back, and how much that cost.

    `taken` spans were taken from the queue, by its thread; `overflowed` were never, says the thread that makes them.
    """

    def __init__(self, exporter: SpanExporter, *, node: str) -> None:
        self._exporter = exporter
        # Said by a thread, which does not have the fields that every line of the node has. Bound only when there is
        # something to say: a node's logs are configured after its tracing.
        self._said_with = {"node": node, "system": "traces"}
        self._away_since: float | None = None
        self.taken = self.overflowed = 0
        self._failed = self._told = 0
        self._told_at = float("-inf")
        self._gave_up = False

    @property
    def _log(self) -> structlog.typing.FilteringBoundLogger:
        bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__).bind(**self._said_with)
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
        elif self._failed + self.overflowed > self._told and now - self._told_at >= TELL_EVERY:
            self._log.warning("spans_lost", count=self._newly_lost(now), reason="more were made than could be sent")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def give_up(self) -> None:
        """The node leaves now: try no more."""
        self._gave_up = True
        if self._away_since is None:
            self._log.warning("spans_lost", reason="the collector did not answer while the node left")
        self._exporter.shutdown()

    def _newly_lost(self, now: float) -> int:
        """Spans lost that were not told yet, and are now."""
        lost = self._failed + self.overflowed
        count, self._told, self._told_at = lost - self._told, lost, now
        return count


def _queue_size() -> int:
    told = os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE, "")
    return int(told) if told.isdecimal() and int(told) > 0 else QUEUE


def _resource(node: str) -> Resource:
    ours = {"service.name": "heyday", "service.version": version("heyday"), "service.instance.id": node}
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})
