"""What nodes share beside the rows: locks that spare work, keys that narrow a window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol
from uuid import UUID


class Locks(Protocol):
    """Named locks with fencing numbers. A lock spares work; it never decides: the rows do."""

    async def acquire(self, name: str, *, ttl: float, above: int = 0) -> int | None:
        """Take the lock for `ttl` seconds. Returns a fencing number greater than `above` and than every number
        given out before (as far as the store remembers), or None when another holds it. Raises Unavailable."""

    async def renew(self, name: str, number: int, *, ttl: float) -> bool:
        """Hold on to it; False when it is no longer ours. Raises Unavailable."""

    async def release(self, name: str, number: int) -> None:
        """Give it up if it is ours. Raises Unavailable."""


class AcceptedKeys(Protocol):
    """Which messages the email service has accepted, remembered before the row says so.

    It narrows the window between acceptance and record after a crash. Losing it costs nothing but that.
    `day` is the UTC date of the message's send_at, which never changes between two attempts of one claim.
    """

    async def accepted(self, messages: Sequence[tuple[UUID, date]]) -> set[UUID]:
        """Those of the messages that were accepted before. Raises Unavailable."""

    async def remember(self, messages: Sequence[tuple[UUID, date]]) -> None:
        """Remember these as accepted. Raises Unavailable."""
