"""Kept responses of the API, and the limits on each client's requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key of a request, and the fingerprint of that request. Another request under the key is refused."""

    key: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Reserved:
    """The right to answer under a key. It is lost when another request takes the key over."""

    key: bytes
    started_at: datetime


@dataclass(frozen=True, slots=True)
class CreatedUser:
    """A user that a stored request created. The stored response has only the id, because the rest is personal data."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """The request that used a key, by its fingerprint, and its response.

    `status` is None while another request is worked on. `created` replaces the body of a response that shows a user.
    """

    fingerprint: bytes
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    created: CreatedUser | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """A response to keep under a reserved key."""

    reserved: Reserved
    status: int
    headers: Mapping[str, str]
    body: bytes


class Idempotency(Protocol):
    """The responses to requests with an Idempotency-Key, for 24 hours. Every method raises Unavailable.

    Methods that do the work of a request take its `Keep` or its `IdempotencyKey`. They keep the response in the
    transaction of the work, so that no crash parts the two. `keep` is for the responses of requests that changed
    nothing.
    """

    async def reserve(self, key: bytes, fingerprint: bytes) -> Reserved | KeptResponse | None:
        """Take the key for a request. Returns what it was used for, or None when another took it this very moment."""

    async def note_resource(self, reserved: Reserved, path: str) -> None:
        """Note the user or the suppression whose personal data the response will show.

        Erasing them erases the key with its response. Without the key, no response is kept.
        """

    async def keep(self, keep: Keep) -> None:
        """Keep a response, unless the key was erased, was taken over, or has one."""

    async def release(self, reserved: Reserved) -> None:
        """Forget a key without a response: the request was not done, and may be sent again."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The verdict about a request: allowed or not, how many more at once, and the seconds to wait."""

    allowed: bool
    remaining: int
    reset_after: float
    retry_after: float


class RequestRate(Protocol):
    """The limit on a client's requests on all nodes together."""

    limit: int
    """Requests that may be made at once by a client that has made none."""
    window: float
    """Seconds in which so many may be made."""

    async def take(self, client: str) -> Allowance:
        """Count a request of that client.

        Never raises Unavailable: without the shared count the node counts on its own.
        """
