"""Holds as JSON, for the API and for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from service.api.representations import kinds
from service.api.representations.answers import Answer, Member, Part, page
from service.domain.holds import Hold, hold_of


class HoldAnswer(Answer):
    """A hold."""

    id = Member(kinds.ID)
    occasion = Member(kinds.TEXT, "The occasion that is held; null: everything.", null=True)
    reason = Member(kinds.TEXT)
    author = Member(kinds.TEXT, "The name of the key, or the user of the command line.")
    created_at = Member(kinds.INSTANT)
    until = Member(kinds.INSTANT, "When it ends; null: when it is released.", null=True)
    released_at = Member(kinds.INSTANT, null=True)
    released_by = Member(kinds.TEXT, null=True)
    active = Member(kinds.FLAG, "True while nothing that it covers is sent.")

    example: ClassVar = {
        "id": "01937f10-2b44-7a90-b1c7-5d0e8f3a6c21",
        "occasion": "birthday",
        "reason": "the text has a mistake",
        "author": "ops",
        "createdAt": "2026-12-10T08:58:03.410000Z",
        "until": "2026-12-10T10:58:03.410000Z",
        "releasedAt": None,
        "releasedBy": None,
        "active": True,
    }


class HeldAnswer(Part):
    """The hold that keeps a message from leaving, as the message shows it."""

    id = Member(kinds.ID)
    since = Member(kinds.INSTANT, of="created_at")
    until = Member(kinds.INSTANT, null=True)
    author = Member(kinds.TEXT)
    reason = Member(kinds.TEXT)


HoldPage = page("HoldPage", HoldAnswer)


def hold_json(hold: Hold, now: datetime) -> dict[str, object]:
    """A hold as of `now`."""
    return HoldAnswer.json(hold, active=hold.active(now))


def held_json(holds: Sequence[Hold], occasion: str) -> dict[str, object] | None:
    """The hold that keeps a message of that occasion from leaving, or null."""
    hold = hold_of(holds, occasion)
    return None if hold is None else HeldAnswer.json(hold)
