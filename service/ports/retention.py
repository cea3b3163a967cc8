"""Expiry of rows."""

from __future__ import annotations

from typing import Protocol


class Retention(Protocol):
    """The rows that expire. docs/reference/retention.md lists them."""

    async def forget_expired(self) -> int:
        """Delete some expired rows. Returns their number, 0 if there are no more. Raises Unavailable."""
