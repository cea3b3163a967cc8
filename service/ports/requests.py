"""What the API keeps of requests: answers to repeat, and how many a client may make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reserved:
    """The right to answer under a key; it is lost when another has taken the key over."""

    key: bytes
    started_at: datetime


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a key was used for, by the fingerprint of the request, and how that was answered; `status` is None while
    another request is being worked on."""

    fingerprint: bytes
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Idempotency(Protocol):
    """The answers given under an Idempotency-Key, for 24 hours. Every method raises Unavailable."""

    async def reserve(self, key: bytes, fingerprint: bytes) -> Reserved | KeptAnswer | None:
        """Take the key for a request; or what it was used for; or None when another took it this very moment."""

    async def keep(
        self, reserved: Reserved, *, status: int, headers: dict[str, str], body: bytes, resource: str | None
    ) -> None:
        """Keep the answer; `resource` is the path of what was made, by which erasing it finds the answer."""

    async def release(self, reserved: Reserved) -> None:
        """Forget the key: the request was not done, and may be tried again."""


class KeptAnswers(Protocol):
    """The same answers, when nobody asks for them any more."""

    async def forget_expired(self) -> int:
        """Delete some of those older than 24 hours; 0 when there are no more. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a client may make a request, how many more at once, and in how many seconds all or one again."""

    allowed: bool
    remaining: int
    reset_after: float
    retry_after: float


class RequestRate(Protocol):
    """How many requests a client may make on all nodes together."""

    limit: int
    """Requests that may be made at once by a client that has made none."""
    window: float
    """Seconds in which so many may be made."""

    async def take(self, client: str) -> Allowance:
        """Count a request of that client. Never raises Unavailable: without a shared count it counts on its own."""
