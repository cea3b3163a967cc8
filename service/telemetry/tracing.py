"""The spans of a node, as its actors use them. Without HEYDAY_TRACES they record nothing.

A span is current inside its block (`with tracing.claim() as span:`) and ends with it. Work on another node, or later,
gets the span's `traceparent`. docs/how-to/trace_a_greeting.md shows the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self
from uuid import UUID

from service.domain.messages import Answer, EmailServiceName
from service.settings import BadConfiguration, Settings


class Span:
    """A span that records nothing. A recorded span overrides every method."""

    __slots__ = ()

    @property
    def traceparent(self) -> str | None:
        """The header by which other spans refer to this one (W3C Trace Context, version 00)."""
        return None

    @property
    def trace_id(self) -> str | None:
        """The id of its trace, as log lines show it."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the span. Only the kind of an exception is recorded, because its text may quote personal data."""

    def carried(self, entries: int, *, messages: int | None = None) -> None:
        """Record the number of entries or bundles sent or taken, and of the message ids in them, if any."""

    def made(self, messages: int) -> None:
        """Record the number of planned messages."""

    def responded(self, status: int, *, user: UUID | None = None, message: UUID | None = None) -> None:
        """Record the response to a request, and the ids of its subject."""

    def answered(self, answer: Answer) -> None:
        """Record the outcome of an attempt."""


class Tracing:
    """Starts the spans of a node. This one records nothing; `start` returns another if the settings ask for it."""

    on = False
    """True if spans are recorded."""

    def ids(self) -> Mapping[str, str]:
        """The fields that log lines get from the current span."""
        return {}

    def request(self, method: str, route: str | None, *, traceparent: str | None) -> Span:
        """A request to the API, as a child of the client's span."""
        return NO_SPAN

    def announce(self) -> Span:
        """Announce ranges to plan and append them to the stream."""
        return NO_SPAN

    def plan(self, *, announced_by: str | None) -> Span:
        """Plan one range."""
        return NO_SPAN

    def claim(self) -> Span:
        """Claim due messages and append them to the stream."""
        return NO_SPAN

    def publish(self, *, claimed_by: Sequence[str | None]) -> Span:
        """Publish bundles to the delivery queue."""
        return NO_SPAN

    def deliver(self, *, published_by: str | None) -> Span:
        """Claim the messages of a bundle and start their calls."""
        return NO_SPAN

    def attempt(self, message: UUID, *, occasion: str, number: int, service: EmailServiceName) -> Span:
        """Call that email service once."""
        return NO_SPAN

    def statement(self, query: str, seconds: float) -> None:
        """Record a statement of PostgreSQL that the current span waited for."""

    async def close(self) -> None:
        """Send the remaining spans, within a short time."""


NO_SPAN = Span()
OFF = Tracing()


def start(settings: Settings) -> Tracing:
    """The tracing that the settings ask for. OpenTelemetry is imported only then.

    Raises BadConfiguration for errors in OpenTelemetry's own variables.
    """
    if settings.traces_url is None:
        return OFF
    from service.telemetry.spans import OpenTelemetry

    try:
        return OpenTelemetry(settings)
    except ValueError as error:
        raise BadConfiguration([f"HEYDAY_TRACES: the OTEL_ variables beside it: {error}"]) from error
