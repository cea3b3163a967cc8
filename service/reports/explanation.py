"""Why a user was or was not greeted, and what will happen next: of last local year, this one and the next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service.domain.calendar import Rule
from service.domain.messages import Status
from service.domain.zones import zone
from service.planning import Rules
from service.ports import Candidate, History, Message, Person, Planned, Previews, Timeline
from service.preview import candidate_of
from service.prospects import LeftOut, Prospect, prospect


@dataclass(frozen=True, slots=True)
class Explained:
    """One occasion in one local year: the verdict, why, and the message's way if there is a message."""

    verdict: Prospect
    why: str
    timeline: Timeline | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one user, as of `now`."""

    user_id: UUID
    timezone: str
    created_at: datetime
    deleted_at: datetime | None
    now: datetime
    planned_up_to: datetime
    days: list[Explained]


async def explain(
    previews: Previews, history: History, rules: Rules, planned: Planned, user_id: UUID, *, late_limit: timedelta
) -> Explanation | None:
    """The explanation, or None if there never was such a user. Raises Unavailable."""
    # Wherever the user is, the local year is among these; the right three of them are taken below.
    person = await previews.person(user_id, range(planned.now.year - 2, planned.now.year + 3))
    if person is None:
        return None
    this_year = planned.now.astimezone(zone(person.timezone)).year
    explained = []
    for day in person.days:
        if abs(day.local_year - this_year) > 1:
            continue
        candidate, rule = candidate_of(rules, person, day)
        verdict = prospect(candidate, rule, planned, late_limit=late_limit, shows_message=True)
        timeline = None if verdict.message_id is None else await history.timeline(verdict.message_id)
        explained.append(Explained(verdict, _why(verdict, candidate, person, planned, late_limit), timeline))
    return Explanation(
        person.user_id,
        person.timezone,
        person.created_at,
        person.deleted_at,
        planned.now,
        planned.complete,
        explained,
    )


_LEFT_OUT = {
    LeftOut.NO_DATE: "There is no date for it.",
    LeftOut.SKIPPED_LEAP_DAY: "The date is 29 February, which this year does not have, and such a day is skipped.",
    LeftOut.CANCELLED: "The message was cancelled: the day was moved or removed, and no instant of this year is left.",
    LeftOut.NOT_PLANNED: (
        "Planning had passed the instant before the rules or the zone data gave it to the user. "
        "An edit of the user's date or zone plans it."
    ),
    LeftOut.UNKNOWN: "Nobody knows whether the email service took the message. Redrive it, or leave it.",
}

_STATUS = {
    Status.SCHEDULED: "The message is planned and leaves at the instant",
    Status.QUEUED: "The message is queued, to be sent at once",
    Status.SENDING: "The message is being sent",
    Status.SENT: "The message was sent",
}

_RULES = {
    Rule.LEAP_DAY: "The date is 29 February, which this year does not have.",
    Rule.MISSING_DATE: "The zone left that date out, so it is the next one.",
    Rule.GAP: "The clocks jump over that time of day, so it is the first instant after.",
    Rule.OVERLAP: "That time of day comes twice, and the first one counts.",
}


def _why(verdict: Prospect, found: Candidate, person: Person, planned: Planned, late_limit: timedelta) -> str:
    """Sentences for a person; every instant as the clocks of the user's zone show it."""
    sentences = [_main(verdict, found, person, planned, late_limit)]
    if verdict.rule in _RULES and verdict.left_out is not LeftOut.SKIPPED_LEAP_DAY:
        sentences.append(_RULES[verdict.rule])
    message = found.message
    if message is not None and found.deleted_at is None and found.send_at != message.send_at:
        sentences.append(
            "The user has no date for it any more."
            if found.send_at is None
            else f"By the user's date and zone of now it would be {_local(found.send_at, found.timezone)}; "
            "there is one message an occasion and local year."
        )
    return " ".join(sentences)


def _main(verdict: Prospect, found: Candidate, person: Person, planned: Planned, late_limit: timedelta) -> str:
    message, at = found.message, ""
    if verdict.send_at is not None:
        at = f" ({_local(verdict.send_at, verdict.timezone)})"
    if verdict.left_out is None:
        return _leaves(verdict, message, at, planned.now)
    match verdict.left_out:
        case LeftOut.DELETED if person.deleted_at is not None:
            return f"The user was deleted {_local(person.deleted_at, person.timezone)}."
        case LeftOut.CREATED_TOO_LATE:
            return f"The user was created {_local(person.created_at, person.timezone)}, not before the instant{at}."
        case LeftOut.TOO_LATE_TO_SEND if message is not None:
            return f"The message was not sent within {_hours(late_limit)} of its instant{at}, and is too late now."
        case LeftOut.TOO_LATE_TO_SEND:
            return (
                f"The user had no message when it was {_hours(late_limit)} after the instant{at}: too late to send one."
            )
        case LeftOut.FAILED if message is not None:
            return f"The message failed at attempt {message.attempts}{at}: {message.reason}. It can be redriven."
        case reason:
            return _LEFT_OUT[reason]


def _leaves(verdict: Prospect, message: Message | None, at: str, now: datetime) -> str:
    if message is None:
        ahead = verdict.send_at is not None and verdict.send_at > now
        return f"There is no message yet: planning makes it, and it leaves at {'the instant' if ahead else 'once'}{at}."
    if message.status is Status.RETRYING:
        due = _local(message.due_at, message.timezone)
        return f"Attempt {message.attempts} did not succeed{at}: {message.reason}. The next is due {due}."
    return f"{_STATUS[message.status]}{at}."


def _local(instant: datetime, timezone: str) -> str:
    return f"{instant.astimezone(zone(timezone)):%Y-%m-%d %H:%M:%S} in {timezone}"


def _hours(limit: timedelta) -> str:
    return f"{limit.total_seconds() / 3600:g} hours"
