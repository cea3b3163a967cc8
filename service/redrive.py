"""Redrives failed, unknown and expired messages, for the API and for the command line.

The statement that moves them decides which may be redriven: those of users who are not deleted, in one of these states.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from service.ports import History, MessageFilter, Messages, Principal

AT_ONCE = 2_000
"""Messages of one statement."""


async def redrive_all(
    messages: Messages, history: History, wanted: MessageFilter, *, by: Principal, most: int | None = None
) -> int:
    """Redrive about `most` matching messages at most, oldest first. Returns their number. Raises Unavailable."""
    redriven = 0
    after: tuple[datetime, UUID] | None = None
    while most is None or redriven < most:
        # Each page begins after the one before: messages that cannot be moved now would be found again.
        page = await history.redrivable(wanted, after=after, limit=AT_ONCE)
        if not page:
            break
        redriven += len(await messages.redrive([message for _, message in page], by=by))
        after = page[-1]
    return redriven
