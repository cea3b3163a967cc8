"""Explains the greetings of one user, past and to come: of last local year, this one and the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service.domain.calendar import Rule
from service.domain.holds import Hold, hold_of
from service.domain.limits import LimitChange, LimitName
from service.domain.messages import EmailServiceName, Outcome, Status
from service.domain.planning import PlanningRules
from service.domain.suppressions import ONLY_TO, ONLY_TO_SENTENCE
from service.domain.zones import zone
from service.ports import Candidate, History, Message, Person, PersonalDay, Planned, Previews, Timeline
from service.reports.eligibility import LeftOut, Prospect, prospect
from service.reports.preview import candidate_of


@dataclass(frozen=True, slots=True)
class Explained:
    """One occasion in one local year: the verdict, why, and the message's way if there is a message."""

    verdict: Prospect
    why: str
    timeline: Timeline | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one user, as of `now`. `holds` are the active ones."""

    user_id: UUID
    timezone: str
    created_at: datetime
    deleted_at: datetime | None
    now: datetime
    planned_until: datetime
    days: list[Explained]
    holds: Sequence[Hold] = ()


async def explain(
    previews: Previews,
    history: History,
    rules: PlanningRules,
    planned: Planned,
    user_id: UUID,
    *,
    late_limit: timedelta,
    holds: Sequence[Hold] = (),
    limits: Sequence[LimitChange] = (),
) -> Explanation | None:
    """The explanation, or None if there never was such a user. Raises Unavailable.

    `limits` has the latest change of each.
    """
    # These contain the local year in any zone. The right three are selected below.
    person = await previews.person(user_id, range(planned.now.year - 2, planned.now.year + 3))
    if person is None:
        return None
    this_year = planned.now.astimezone(zone(person.timezone)).year
    explained = []
    for day in person.days:
        if abs(day.local_year - this_year) > 1 or (day.message is None and day.occasion not in rules.understood):
            continue
        candidate, rule = candidate_of(rules, person, day)
        verdict = prospect(candidate, rule, planned, late_limit=late_limit, shows_message=True)
        timeline = None if verdict.message_id is None else await history.timeline(verdict.message_id)
        why = _why(verdict, candidate, person, planned, late_limit, holds, limits, timeline)
        explained.append(Explained(verdict, why + _otherwise(day, candidate, rule), timeline))
    return Explanation(
        person.user_id,
        person.timezone,
        person.created_at,
        person.deleted_at,
        planned.now,
        planned.complete,
        explained,
        holds,
    )


_LEFT_OUT = {
    LeftOut.NO_DATE: "There is no date for it.",
    LeftOut.SKIPPED_LEAP_DAY: "The date is 29 February, which this year does not have, and such a day is skipped.",
    LeftOut.YEAR_OF_THE_DATE: "The first greeting is that of the year after the date itself.",
    LeftOut.INACTIVE: "The occasion is not active, or was not at the instant: nothing is sent for it.",
    LeftOut.CANCELLED: "The message was cancelled: the day was moved or removed, and no instant of this year is left.",
    LeftOut.NOT_PLANNED: (
        "Planning had passed the instant before the rules or the zone data gave it to the user. "
        "An edit of the user's date or zone plans it."
    ),
    LeftOut.UNKNOWN: "The outcome is unknown: the email service may have the message. Redrive it, or leave it.",
}

_STATUS = {
    Status.SCHEDULED: "The message is planned and leaves at the instant",
    Status.QUEUED: "The message is queued, to be sent at once",
    Status.SENDING: "The message is being sent",
}

_LIMITED = {
    LimitName.EMAIL_RATE: "all nodes together begin at most {value} calls",
    LimitName.EMAIL_CONCURRENCY: "each node has at most {value} calls under way",
}

_RULES = {
    Rule.LEAP_DAY: "The date is 29 February, which this year does not have.",
    Rule.WEEKEND: "The day is a Saturday or Sunday, and the occasion avoids them.",
    Rule.MISSING_DATE: "The zone left that date out, so it is the next one.",
    Rule.GAP: "The clocks jump over that time of day, so it is the first instant after.",
    Rule.OVERLAP: "That time of day comes twice, and the first one counts.",
}


def _why(
    verdict: Prospect,
    found: Candidate,
    person: Person,
    planned: Planned,
    late_limit: timedelta,
    holds: Sequence[Hold],
    limits: Sequence[LimitChange],
    timeline: Timeline | None,
) -> str:
    """Sentences for a person. Every instant is in the local time of the user's zone."""
    sentences = [_main(verdict, found, person, planned, late_limit, timeline)]
    hold = hold_of(holds, verdict.occasion) if verdict.waits else None
    if hold is not None:
        sentences.append(f"Sending is held: {hold}.")
    message = found.message
    if hold is None and verdict.waits and message is not None and message.due_at <= planned.now:
        sentences += [_limited(one, message.timezone) for one in limits if one.slows]
    if verdict.rule in _RULES and verdict.left_out is not LeftOut.SKIPPED_LEAP_DAY:
        sentences.append(_RULES[verdict.rule])
    return " ".join(sentences)


def _otherwise(day: PersonalDay, found: Candidate, rule: Rule | None) -> str:
    """A sentence with the instant that the calendar gives now. Empty if the message has the same instant."""
    if day.message is None or found.deleted_at is not None or found.send_at == day.message.send_at:
        return ""
    if day.date is None:
        return " The user has no date for it any more."
    if found.send_at is None:
        return ""
    if rule is Rule.SKIPPED or found.is_first_year:
        return f" By the user's date and zone of now there would be none in {day.local_year}."
    at = _local(found.send_at, found.timezone)
    return f" By the user's date and zone of now it would be {at}; there is one message an occasion and local year."


def _main(
    verdict: Prospect,
    found: Candidate,
    person: Person,
    planned: Planned,
    late_limit: timedelta,
    timeline: Timeline | None,
) -> str:
    message, at = found.message, ""
    if verdict.send_at is not None:
        at = f" ({_local(verdict.send_at, verdict.timezone)})"
    if timeline is not None and timeline.message.status is Status.SENT:
        return _sent(timeline)
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
        case LeftOut.SUPPRESSED if message is not None and message.status is Status.CANCELLED:
            return f"The message was cancelled{at}: {message.status_reason}."
        case LeftOut.SUPPRESSED if found.suppressed == ONLY_TO:
            return f"Nothing is written to the address: {ONLY_TO_SENTENCE}."
        case LeftOut.SUPPRESSED:
            return f"Nothing is written to the address: it is suppressed ({found.suppressed})."
        case LeftOut.FAILED if message is not None:
            return f"The message failed at attempt {message.attempts}{at}: {message.status_reason}. It can be redriven."
        case reason:
            return _LEFT_OUT[reason]


def _sent(timeline: Timeline) -> str:
    """The begin of the attempt that was accepted; of one that is not on record, when the message ended."""
    message = timeline.message
    accepted = [one.started_at for one in timeline.attempts if one.outcome is Outcome.ACCEPTED]
    sent_at = min(accepted, default=message.ended_at)
    at = "" if sent_at is None else f" {_local(sent_at, message.timezone)}"
    by = ", by the fallback service" if message.service is EmailServiceName.FALLBACK else ""
    return f"The message was sent{at}{by}. It was due {_local(message.send_at, message.timezone)}."


def _leaves(verdict: Prospect, message: Message | None, at: str, now: datetime) -> str:
    if message is None:
        ahead = verdict.send_at is not None and verdict.send_at > now
        return f"There is no message yet: planning makes it, and it leaves at {'the instant' if ahead else 'once'}{at}."
    if message.status is Status.RETRYING and (message.status_reason or "").startswith("not attempted"):
        return f"The message was claimed and given back{at}: {message.status_reason}. It is due again."
    if message.status is Status.SCHEDULED and message.due_at <= now:
        due = _local(message.due_at, message.timezone)
        return f"The message has been due since {due}, and no node has claimed it yet."
    if message.status is Status.RETRYING:
        due = _local(message.due_at, message.timezone)
        return f"Attempt {message.attempts} did not succeed{at}: {message.status_reason}. The next is due {due}."
    return f"{_STATUS[message.status]}{at}."


def _limited(change: LimitChange, timezone: str) -> str:
    """The limit that a due message may wait for."""
    since = _local(change.changed_at, timezone)
    return f"By a limit of {change.author} since {since}, {_LIMITED[change.name].format(value=change.value)}."


def _local(instant: datetime, timezone: str) -> str:
    return f"{instant.astimezone(zone(timezone)):%Y-%m-%d %H:%M:%S} in {timezone}"


def _hours(limit: timedelta) -> str:
    return f"{limit.total_seconds() / 3600:g} hours"
