"""Holds as JSON, for the API and for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from service.domain.holds import Hold, hold_of


def hold_json(hold: Hold, now: datetime) -> dict[str, object]:
    """A hold; `active` says if it is at work."""
    return {
        "id": hold.id,
        "occasion": hold.occasion,
        "reason": hold.reason,
        "author": hold.author,
        "createdAt": hold.created_at,
        "until": hold.until,
        "releasedAt": hold.released_at,
        "releasedBy": hold.released_by,
        "active": hold.active(now),
    }


def held_json(holds: Sequence[Hold], occasion: str) -> dict[str, object] | None:
    """The hold that keeps a message of that occasion from leaving, or null."""
    hold = hold_of(holds, occasion)
    if hold is None:
        return None
    return {
        "id": hold.id,
        "since": hold.created_at,
        "until": hold.until,
        "author": hold.author,
        "reason": hold.reason,
    }
