"""Tells the state of one user's occasion in one local year: its message, the message to come, or the reason for none.

Every preview and every explanation uses this verdict. It decides nothing: it reports what planner, ticker and edits
have decided, or will decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from service.domain.calendar import Rule
from service.domain.messages import UNSENT, Status
from service.domain.suppressions import is_suppression
from service.ports import Candidate, Message, Planned

EXPECTED = "expected"
"""The state of a message that planning will make."""


class LeftOut(StrEnum):
    """The reason for which a user is not greeted on their day."""

    NO_DATE = "no_date"
    """The user has no date for the occasion."""
    DELETED = "deleted"
    """The user is deleted."""
    SKIPPED_LEAP_DAY = "skipped_leap_day"
    """29 February, in a common year, under a rule that skips it."""
    YEAR_OF_THE_DATE = "year_of_the_date"
    """The date itself lies in this local year or later: the first greeting is that of the year after it."""
    INACTIVE = "inactive"
    """The occasion is not active, or was not at the instant."""
    ALREADY_GREETED = "already_greeted"
    """The occasion's message of this local year was sent, at another instant: date or zone have changed since."""
    ALREADY_PLANNED = "already_planned"
    """The occasion's message of this local year is on its way, for another instant."""
    SUPPRESSED = "suppressed"
    """The address gets nothing: it is suppressed, or HEYDAY_ONLY_TO does not name it."""
    CREATED_TOO_LATE = "created_too_late"
    """The user did not exist yet at the instant."""
    TOO_LATE_TO_SEND = "too_late_to_send"
    """The instant is longer ago than `HEYDAY_LATE_LIMIT`: there was no message, or it has expired or will expire."""
    NOT_PLANNED = "not_planned"
    """Planning had passed the instant before the rules, or the zone data, changed it to this one."""
    CANCELLED = "cancelled"
    """The message was cancelled: the day was moved or removed."""
    FAILED = "failed"
    """The email service refused the message, or every attempt was spent."""
    UNKNOWN = "unknown"
    """The outcome is unknown, and an operator has to decide."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """The verdict.

    `status` is the state of the message `message_id`, or EXPECTED. None: there is no message, now or later. `send_at`
    is None if the calendar has no instant. `rule` is None if the instant of the message is not that of the calendar
    now.
    """

    user_id: UUID
    occasion: str
    local_year: int | None
    timezone: str
    send_at: datetime | None
    rule: Rule | None
    status: str | None
    left_out: LeftOut | None
    message_id: UUID | None

    @property
    def waits(self) -> bool:
        """True if the message, or one that planning will make, is still to be sent."""
        return self.left_out is None and self.status in (EXPECTED, *UNSENT)


def prospect(
    found: Candidate, rule: Rule | None, planned: Planned, *, late_limit: timedelta, shows_message: bool
) -> Prospect:
    """The verdict on a candidate whose `send_at` follows from `rule`.

    `shows_message`: it is about the candidate's message, wherever that lies; else about the instant of the calendar.
    """
    message = found.message
    if message is not None and shows_message:
        return Prospect(
            found.user_id,
            found.occasion,
            found.local_year,
            message.timezone,
            message.send_at,
            rule if found.send_at == message.send_at else None,
            message.status,
            _of_message(message, found, planned.now, late_limit),
            message.id,
        )
    left_out = _without_message(found, rule, planned, late_limit)
    return Prospect(
        found.user_id,
        found.occasion,
        found.local_year,
        found.timezone,
        None if rule is Rule.SKIPPED else found.send_at,
        rule,
        (EXPECTED if left_out is None else None) if message is None else message.status,
        left_out,
        None if message is None else message.id,
    )


def will_expire(message: Message, now: datetime, late_limit: timedelta) -> bool:
    """True if it will be too late to send the message when it is claimed (see claim_due and claim_for_sending)."""
    counts_from = max(message.send_at, message.redriven_at or message.send_at)
    waits = message.status in (Status.SCHEDULED, Status.RETRYING, Status.QUEUED)
    return waits and counts_from < max(now, message.due_at) - late_limit


def _of_message(message: Message, found: Candidate, now: datetime, late_limit: timedelta) -> LeftOut | None:
    match message.status:
        case Status.CANCELLED:
            if found.deleted_at is not None:
                return LeftOut.DELETED
            if found.inactive:
                return LeftOut.INACTIVE
            return LeftOut.SUPPRESSED if is_suppression(message.status_reason) else LeftOut.CANCELLED
        case Status.EXPIRED:
            return LeftOut.TOO_LATE_TO_SEND
        case Status.FAILED:
            return LeftOut.FAILED
        case Status.UNKNOWN:
            return LeftOut.UNKNOWN
        case Status.SCHEDULED | Status.RETRYING | Status.QUEUED if will_expire(message, now, late_limit):
            return LeftOut.TOO_LATE_TO_SEND
        case Status.SCHEDULED | Status.RETRYING | Status.QUEUED if found.suppressed is not None:
            return LeftOut.SUPPRESSED
        case _:
            return None


def _without_message(found: Candidate, rule: Rule | None, planned: Planned, late_limit: timedelta) -> LeftOut | None:
    """Return why nothing is sent at the calendar's instant. None: planning will make a message for it."""
    if found.deleted_at is not None:
        return LeftOut.DELETED
    if found.message is not None:
        if found.message.status is Status.SENT:
            return LeftOut.ALREADY_GREETED
        return _of_message(found.message, found, planned.now, late_limit) or LeftOut.ALREADY_PLANNED
    if rule is Rule.SKIPPED:
        return LeftOut.SKIPPED_LEAP_DAY
    if found.send_at is None:
        return LeftOut.NO_DATE
    if found.is_first_year:
        return LeftOut.YEAR_OF_THE_DATE
    if found.inactive:
        return LeftOut.INACTIVE
    if found.created_at >= found.send_at:
        return LeftOut.CREATED_TOO_LATE
    if found.send_at < planned.now - late_limit:
        return LeftOut.TOO_LATE_TO_SEND
    if found.send_at < planned.announced and not found.to_plan:
        return LeftOut.NOT_PLANNED
    if found.suppressed is not None:
        return LeftOut.SUPPRESSED
    return None
