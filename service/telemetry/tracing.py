"""Traces of what a node does, as its actors see them: spans begin here, and are none unless HEYDAY_TRACES is set.

A span is entered (`with tracing.claim() as span:`), is the current one until it is left, and ends then. What goes on at
another node, or later, is told the span's `traceparent`. docs/how-to/trace_a_greeting.md shows what comes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self
from uuid import UUID

from service.domain.messages import Answer
from service.settings import BadConfiguration, Settings


class Span:
    """A piece of work that is not traced; those that are override everything here."""

    __slots__ = ()

    @property
    def traceparent(self) -> str | None:
        """How others tell what they do on its behalf: W3C Trace Context, version 00."""
        return None

    @property
    def trace_id(self) -> str | None:
        """The trace that it is part of, as log lines name it."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It is over; an exception is told by its kind alone, for its text may quote anybody."""

    def carried(self, entries: int, *, messages: int | None = None) -> None:
        """What was sent or taken: so many entries or bundles, with so many ids of messages if they have any."""

    def made(self, messages: int) -> None:
        """So many messages were planned."""

    def responded(self, status: int, *, user: UUID | None = None, message: UUID | None = None) -> None:
        """What a request was answered, and whom or what it was about."""

    def answered(self, answer: Answer) -> None:
        """What came of an attempt."""


class Tracing:
    """Begins the spans of a node. This one begins none: `start` returns another when the settings say so."""

    on = False
    """Whether anything is traced at all."""

    def ids(self) -> Mapping[str, str]:
        """What the log lines of the current span have in addition."""
        return {}

    def request(self, method: str, route: str | None, *, traceparent: str | None) -> Span:
        """A request to the API, on behalf of the client's own span."""
        return NO_SPAN

    def announce(self) -> Span:
        """Announcing how far is planned, and handing the ranges out."""
        return NO_SPAN

    def plan(self, *, announced_by: str | None) -> Span:
        """Planning one range."""
        return NO_SPAN

    def claim(self) -> Span:
        """Claiming what is due, and handing it out."""
        return NO_SPAN

    def publish(self, *, claimed_by: Sequence[str | None]) -> Span:
        """Publishing bundles of what was handed out."""
        return NO_SPAN

    def deliver(self, *, published_by: str | None) -> Span:
        """Claiming what is ours of a bundle, until the last of it is on the wire."""
        return NO_SPAN

    def attempt(self, message: UUID, *, occasion: str, number: int) -> Span:
        """One call of the email service."""
        return NO_SPAN

    def statement(self, query: str, seconds: float) -> None:
        """A statement of PostgreSQL that the current span has just waited for."""

    async def close(self) -> None:
        """Hand over what is left, as far as that goes in a moment."""


NO_SPAN = Span()
OFF = Tracing()


def start(settings: Settings) -> Tracing:
    """What the settings ask for. Nothing of OpenTelemetry is imported unless they do.

    Raises BadConfiguration for variables of OpenTelemetry's own that contradict one another.
    """
    if settings.traces_url is None:
        return OFF
    from service.telemetry.spans import OpenTelemetry

    try:
        return OpenTelemetry(settings)
    except ValueError as error:
        raise BadConfiguration([f"HEYDAY_TRACES: the OTEL_ variables beside it: {error}"]) from error
