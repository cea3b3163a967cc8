"""A collector of traces (OTLP over HTTP) for tests. It is also an email service that records its calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Seen:
    """A span, with ids in the format of `traceparent` and log lines."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: tuple[tuple[str, str], ...]
    """Return trace and span id of each link."""
    attributes: dict[str, Any]
    failed: bool
    resource: dict[str, Any] = field(repr=False)


class Collector:
    """The received spans. It can be set to answer 500, or to `hang`."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.raw = b""
        """All received bodies."""
        self.ill = False
        self.hangs = False
        self.called: dict[str, str | None] = {}
        """The traceparent of each call of the email service, by Idempotency-Key."""
        self.url = ""
        self._closing = asyncio.Event()

    def named(self, name: str, **attributes: object) -> list[Seen]:
        """Return the spans of that name with these attributes; dots are written as underscores."""
        wanted = {key.replace("_", "."): value for key, value in attributes.items()}
        return [one for one in self.spans if one.name == name and wanted.items() <= one.attributes.items()]

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Collector]:
        """Listen on a free port."""
        app = web.Application()
        app.add_routes([web.post("/v1/traces", self._traces), web.post("/send-email", self._send_email)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            self._closing.set()
            await runner.cleanup()

    async def _traces(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.ill:
            return web.Response(status=500)
        if self.hangs:
            await self._closing.wait()
        self.raw += body
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            whose = {one.key: _value(one.value) for one in resource.resource.attributes}
            self.spans += [_seen(span, whose) for scope in resource.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    async def _send_email(self, request: web.Request) -> web.Response:
        self.called[request.headers["Idempotency-Key"]] = request.headers.get("traceparent")
        return web.json_response({"status": "sent"})


def _seen(span: Span, resource: dict[str, Any]) -> Seen:
    return Seen(
        span.name,
        Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        {one.key: _value(one.value) for one in span.attributes},
        span.status.code == 2,
        resource,
    )


def _value(value: AnyValue) -> Any:
    return getattr(value, str(value.WhichOneof("value")))
