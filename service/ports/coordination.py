"""The state that nodes share beside the rows: locks that avoid double work, and keys of accepted messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID


class Locks(Protocol):
    """Named locks with fencing tokens. A lock avoids double work. Only the rows decide."""

    async def acquire(self, name: str, *, ttl: float, above: int = 0) -> int | None:
        """Take the lock for `ttl` seconds and return a fencing token, or None if it is taken. Raises Unavailable.

        The token is greater than `above`, and than every earlier token that the store remembers.
        """

    async def renew(self, name: str, number: int, *, ttl: float) -> bool:
        """Extend the lock. False if it is no longer ours. Raises Unavailable."""

    async def release(self, name: str, number: int) -> None:
        """Release the lock if it is ours. Raises Unavailable."""


class AcceptedKeys(Protocol):
    """The messages that the email service has accepted, remembered before their rows are updated.

    It narrows the window between acceptance and record after a crash. Losing it costs nothing but that.
    """

    async def accepted(self, messages: Sequence[UUID]) -> set[UUID]:
        """Return those of the messages that were accepted before. Raises Unavailable."""

    async def remember(self, messages: Sequence[UUID]) -> None:
        """Remember these as accepted. Raises Unavailable."""
