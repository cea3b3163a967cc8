"""Every span of a node, declared in one place with its name and attributes, by OpenTelemetry's conventions.

A span behind a queue is linked, not nested. Many bundles follow one claim, on other nodes and perhaps minutes later.
One trace of all of them would be too large to read. docs/decisions/0008-traces.md has the reasons.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID

from opentelemetry import context, trace
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from service.domain.messages import Answer, EmailServiceName, Outcome
from service.ports.names import DUE, PLAN, RABBITMQ_QUEUE, REDIS_QUEUE
from service.settings import Settings
from service.telemetry.export import Export
from service.telemetry.tracing import Span, Tracing

FLUSH_WITHIN = 2.0
"""Seconds for the last spans after a drain: less than the rest of the usual 30 s of an orchestrator."""

MAX_TRACEPARENT = 512
"""Characters of a traceparent. The library would log each longer one, and every client can send one."""

_W3C = TraceContextTextMapPropagator()


class OpenTelemetry(Tracing):
    """Records spans and sends them to `settings.traces_url` by OTLP over HTTP, or to `exporter`."""

    on = True

    def __init__(self, settings: Settings, *, exporter: SpanExporter | None = None) -> None:
        self._export = Export(str(settings.traces_url), node=settings.node_id, exporter=exporter)
        self._tracer = self._export.tracer
        self._queue = RABBITMQ_QUEUE if settings.rabbitmq_url is not None else REDIS_QUEUE
        self._email = {EmailServiceName.PRIMARY: _server(settings.email_url)}
        if settings.email_fallback is not None:
            self._email[EmailServiceName.FALLBACK] = _server(settings.email_fallback.url)

    def ids(self) -> Mapping[str, str]:
        current = trace.get_current_span().get_span_context()
        if not current.is_valid:
            return {}
        return {"trace_id": trace.format_trace_id(current.trace_id), "span_id": trace.format_span_id(current.span_id)}

    def request(self, method: str, route: str | None, *, traceparent: str | None) -> Span:
        # The path, baggage and tracestate are left out, because a client may put personal data there.
        attributes = {"http.request.method": method, **({"http.route": route} if route else {})}
        name = f"{'HTTP' if method == '_OTHER' else method} {route or ''}".strip()
        return self._root(name, SpanKind.SERVER, attributes, parent=_read(traceparent))

    def announce(self) -> Span:
        return self._root(f"announce {PLAN}", SpanKind.PRODUCER, _hop("announce", "send", "redis", PLAN))

    def plan(self, *, announced_by: str | None) -> Span:
        attributes = _hop("plan", "process", "redis", PLAN)
        return self._root(f"plan {PLAN}", SpanKind.CONSUMER, attributes, follows=[announced_by])

    def claim(self) -> Span:
        return self._root(f"claim {DUE}", SpanKind.PRODUCER, _hop("claim", "send", "redis", DUE))

    def publish(self, *, claimed_by: Sequence[str | None]) -> Span:
        attributes = _hop("publish", "send", self._queue.system, self._queue.delivery)
        return self._root(f"publish {self._queue.delivery}", SpanKind.PRODUCER, attributes, follows=claimed_by)

    def deliver(self, *, published_by: str | None) -> Span:
        attributes = _hop("deliver", "process", self._queue.system, self._queue.delivery)
        return self._root(f"deliver {self._queue.delivery}", SpanKind.CONSUMER, attributes, follows=[published_by])

    def attempt(self, message: UUID, *, occasion: str, number: int, service: EmailServiceName) -> Span:
        current = trace.get_current_span()
        # The span of the bundle may have ended. An attempt is recorded if that span was sampled.
        if not current.get_span_context().trace_flags.sampled:
            return _Traced(trace.NonRecordingSpan(current.get_span_context()))
        attributes: dict[str, AttributeValue] = {
            "http.request.method": "POST",
            "url.template": "/send-email",
            **self._email[service],
            "heyday.message.id": str(message),
            "heyday.occasion": occasion,
            "heyday.attempt": number,
        }
        return _Traced(self._tracer.start_span("POST /send-email", kind=SpanKind.CLIENT, attributes=attributes))

    def statement(self, query: str, seconds: float) -> None:
        if trace.get_current_span().is_recording():
            ended_at = time.time_ns()
            self._tracer.start_span(
                query,
                kind=SpanKind.CLIENT,
                attributes={"db.system.name": "postgresql", "db.query.summary": query},
                start_time=ended_at - int(seconds * 1e9),
            ).end(ended_at)

    async def close(self) -> None:
        await self._export.close(within=FLUSH_WITHIN)

    def _root(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue],
        *,
        parent: SpanContext | None = None,
        follows: Iterable[str | None] = (),
    ) -> Span:
        """A span without a parent in this process."""
        before = {one for one in follows if one is not None}
        links = [Link(one) for one in map(_read, sorted(before)) if one is not None]
        within = context.Context()
        if parent is not None:
            within = trace.set_span_in_context(trace.NonRecordingSpan(parent), within)
        return _Traced(self._tracer.start_span(name, within, kind, attributes, links))


class _Traced(Span):
    """A span of OpenTelemetry, sampled or not."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str | None:
        own = self._span.get_span_context()
        if not own.is_valid:  # OTEL_SDK_DISABLED
            return None
        return f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"

    @property
    def trace_id(self) -> str | None:
        own = self._span.get_span_context()
        return trace.format_trace_id(own.trace_id) if own.is_valid else None

    def __enter__(self) -> Self:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context.detach(self._token)
        if kind is not None:
            self._failed(kind.__qualname__)
        self._span.end()

    def carried(self, entries: int, *, messages: int | None = None) -> None:
        self._span.set_attribute("messaging.batch.message_count", entries)
        if messages is not None:
            self._span.set_attribute("heyday.messages", messages)

    def made(self, messages: int) -> None:
        self._span.set_attribute("heyday.messages", messages)

    def responded(self, status: int, *, user: UUID | None = None, message: UUID | None = None) -> None:
        self._span.set_attribute("http.response.status_code", status)
        if user is not None:
            self._span.set_attribute("heyday.user.id", str(user))
        if message is not None:
            self._span.set_attribute("heyday.message.id", str(message))
        if status >= 500:
            self._failed(str(status))

    def answered(self, answer: Answer) -> None:
        self._span.set_attribute("heyday.outcome", answer.outcome.value)
        if answer.status_code is not None:
            self._span.set_attribute("http.response.status_code", answer.status_code)
        if answer.outcome is not Outcome.ACCEPTED:
            self._failed(str(answer.status_code) if answer.status_code is not None else answer.error or "no answer")

    def _failed(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))


def _hop(operation: str, kind: str, system: str, destination: str) -> dict[str, AttributeValue]:
    return {
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.system": system,
        "messaging.destination.name": destination,
    }


def _read(traceparent: str | None) -> SpanContext | None:
    """The span that a traceparent names; None if it is malformed."""
    if traceparent is None or len(traceparent) > MAX_TRACEPARENT:
        return None
    named = trace.get_current_span(_W3C.extract({"traceparent": traceparent}, context.Context())).get_span_context()
    return named if named.is_valid else None


def _server(url: str) -> dict[str, AttributeValue]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}
