"""Redrives failed, unknown and expired messages, for the API and for the command line.

The statement that moves them decides which may be redriven: those of users who are not deleted, in one of these states.
"""

from __future__ import annotations

from service.ports import History, MessageFilter, Messages, Principal

AT_ONCE = 2_000
"""Messages of one statement."""


async def redrive_all(
    messages: Messages, history: History, wanted: MessageFilter, *, by: Principal, most: int | None = None
) -> int:
    """Redrive about `most` matching messages at most, oldest first. Returns their number. Raises Unavailable."""
    redriven = 0
    while most is None or redriven < most:
        ids = await history.redrivable(wanted, limit=AT_ONCE)
        redriven += len(await messages.redrive(ids, by=by)) if ids else 0
        # Messages that did not move were moved by another caller, and are not found again.
        if len(ids) < AT_ONCE:
            break
    return redriven
