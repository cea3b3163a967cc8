"""Sending again what failed, is unknown or has expired: the same for the API and for the command line.

Which messages may be redriven at all is decided by the statement that moves them: of users who are not deleted, and in
one of those states.
"""

from __future__ import annotations

from service.ports import History, MessageFilter, Messages

AT_ONCE = 2_000
"""Messages of one statement."""


async def redrive_all(messages: Messages, history: History, wanted: MessageFilter, *, most: int | None = None) -> int:
    """Redrive every message that fits, oldest first, until about `most` are. Returns how many. Raises Unavailable."""
    redriven = 0
    while most is None or redriven < most:
        ids = await history.redrivable(wanted, limit=AT_ONCE)
        redriven += len(await messages.redrive(ids)) if ids else 0
        # Whatever did not move was moved by somebody else, and is not found again.
        if len(ids) < AT_ONCE:
            break
    return redriven
