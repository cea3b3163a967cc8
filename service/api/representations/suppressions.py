"""Suppressions as JSON, and what came of a webhook."""

from __future__ import annotations

from typing import ClassVar

from service.api.representations import kinds
from service.api.representations.answers import Answer, Member, page
from service.domain.suppressions import SuppressionReason


class SuppressionAnswer(Answer):
    """An address that gets nothing."""

    id = Member(kinds.ID)
    email = Member(kinds.TEXT, "Null: its user was erased, or a webhook named it and no user has it.", null=True)
    reason = Member(kinds.enum(SuppressionReason))
    source = Member(kinds.TEXT)
    created_at = Member(kinds.INSTANT)

    example: ClassVar = {
        "id": "01937f22-71d0-7c15-9f4e-0b6a2d8c5e33",
        "email": "ada@example.com",
        "reason": "opt_out",
        "source": "preference centre",
        "createdAt": "2026-12-01T10:12:00Z",
    }


SuppressionPage = page("SuppressionPage", SuppressionAnswer)


class EmailEventsResultAnswer(Answer):
    """The result of the events of a webhook."""

    suppressed = Member(kinds.COUNT, "Events whose address is suppressed.")
    ignored = Member(kinds.COUNT, "All other events.")

    example: ClassVar = {"suppressed": 1, "ignored": 0}
