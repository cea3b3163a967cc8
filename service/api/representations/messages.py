"""A message as JSON, and its way in the order in which it went."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from service.api.representations import kinds
from service.api.representations.answers import Answer, Member, page
from service.api.representations.examples import MESSAGE_ID, USER_ID
from service.domain.messages import EmailServiceName, Status
from service.ports import Timeline

_EVENTS = (
    *("planned", "queued", "claimed", "attempt", "recorded", "redriven"),
    *("sent", "failed", "cancelled", "expired", "unknown"),
)


class MessageAnswer(Answer):
    """A message. Its text is not stored: it is made when the message is sent."""

    id = Member(kinds.ID)
    user_id = Member(kinds.ID)
    occasion = Member(kinds.TEXT)
    local_year = Member(kinds.INTEGER)
    timezone = Member(kinds.TEXT)
    send_at = Member(kinds.INSTANT, "The instant of the greeting.")
    due_at = Member(kinds.INSTANT, "When to act next: sendAt, or the next attempt.")
    status = Member(kinds.ref("MessageStatus"))
    attempts = Member(kinds.COUNT)
    reason = Member(kinds.TEXT, "Why it is where it is, for people.", null=True, of="status_reason")
    tzdata = Member(kinds.TEXT, "Version of the zone data that sendAt was computed with.")
    planned_at = Member(kinds.INSTANT)
    ended_at = Member(kinds.INSTANT, null=True)
    redriven_at = Member(kinds.INSTANT, null=True)
    service = Member(
        kinds.enum(EmailServiceName),
        "The email service that took it; null unless it is `sent`, or if an older version sent it.",
        null=True,
        of=lambda message: message.service if message.status is Status.SENT else None,
    )
    user = Member(kinds.ref("User"), "Only with `expand=user`; null: erased.", null=True, optional=True)

    example: ClassVar = {
        "id": MESSAGE_ID,
        "userId": USER_ID,
        "occasion": "birthday",
        "localYear": 2026,
        "timezone": "Europe/London",
        "sendAt": "2026-12-10T09:00:00Z",
        "dueAt": "2026-12-10T09:00:00Z",
        "status": "sent",
        "attempts": 1,
        "reason": None,
        "tzdata": "2026f",
        "plannedAt": "2026-12-08T12:00:04.120000Z",
        "endedAt": "2026-12-10T09:00:00.412000Z",
        "redrivenAt": None,
        "service": "primary",
    }


MessagePage = page(
    "MessagePage", MessageAnswer, total=Member(kinds.COUNT, "Of all pages, where that is cheap to know.", optional=True)
)


class TimelineEventAnswer(Answer):
    """Something that happened to a message. What else is known of it depends on the event."""

    event = Member(kinds.enum(_EVENTS))
    at = Member(kinds.INSTANT)
    number = Member(kinds.COUNT, optional=True)
    service = Member(kinds.enum(EmailServiceName), optional=True)
    node = Member(kinds.TEXT, null=True, optional=True)
    outcome = Member(kinds.ref("Outcome"), optional=True)
    status_code = Member(kinds.INTEGER, null=True, optional=True)
    duration_seconds = Member(kinds.SECONDS, optional=True)
    error = Member(kinds.TEXT, null=True, optional=True)
    provider_id = Member(kinds.TEXT, null=True, optional=True)
    reason = Member(kinds.TEXT, null=True, optional=True)
    tzdata = Member(kinds.TEXT, optional=True)
    text_version = Member(kinds.INTEGER, "Version of the text; null before there was one.", null=True, optional=True)


class MessageTimelineAnswer(MessageAnswer):
    """A message and everything on record that happened to it."""

    timeline = Member(TimelineEventAnswer, many=True)

    example: ClassVar = {
        **MessageAnswer.example,
        "timeline": [
            {"event": "planned", "at": "2026-12-08T12:00:04.120000Z", "tzdata": "2026f"},
            {"event": "queued", "at": "2026-12-10T09:00:00.011000Z", "node": "node-1"},
            {"event": "claimed", "at": "2026-12-10T09:00:00.032000Z", "node": "node-2", "textVersion": 1},
            {
                "event": "attempt",
                "at": "2026-12-10T09:00:00.035000Z",
                "number": 1,
                "service": "primary",
                "node": "node-2",
                "outcome": "accepted",
                "statusCode": 200,
                "durationSeconds": 0.371,
                "error": None,
                "providerId": "b7bc2f4a-e38e-4336-af7d-e6c392c2f817",
            },
            {"event": "recorded", "at": "2026-12-10T09:00:00.412000Z", "number": 1, "outcome": "accepted"},
            {"event": "sent", "at": "2026-12-10T09:00:00.412000Z", "reason": None},
        ],
    }


class RedrivenAnswer(Answer):
    """A message that is due again."""

    id = Member(kinds.ID)
    status = Member({"type": "string", "const": Status.SCHEDULED.value})

    example: ClassVar = {"id": MESSAGE_ID, "status": "scheduled"}


class RedriveResultAnswer(Answer):
    """The result of redriving many messages."""

    dry_run = Member(kinds.FLAG)
    matched = Member(kinds.COUNT, "Messages that fitted when the request came.")
    redriven = Member(kinds.COUNT)
    remaining = Member(kinds.COUNT, "More than one request redrives: send it again.")

    example: ClassVar = {"dryRun": False, "matched": 12, "redriven": 12, "remaining": 0}


def with_timeline(timeline: Timeline) -> dict[str, Any]:
    """The message and everything on record that happened to it."""
    return MessageTimelineAnswer.json(timeline.message, timeline=events(timeline))


def events(timeline: Timeline) -> list[dict[str, Any]]:
    """The events of a message, in order. The row keeps the latest queued and claimed times, and every attempt."""
    message = timeline.message
    found = [_event("planned", message.planned_at, tzdata=message.tzdata)]
    if timeline.queued_at is not None:
        found.append(_event("queued", timeline.queued_at, node=timeline.queued_node))
    if timeline.claimed_at is not None:
        version = timeline.text_version
        found.append(_event("claimed", timeline.claimed_at, node=timeline.claimed_node, text_version=version))
    for attempt in timeline.attempts:
        found.append(
            _event(
                "attempt",
                attempt.started_at,
                number=attempt.number,
                service=attempt.service,
                node=attempt.node,
                outcome=attempt.outcome,
                status_code=attempt.status_code,
                duration_seconds=round(attempt.duration, 6),
                error=attempt.error,
                provider_id=attempt.provider_id,
            )
        )
        found.append(_event("recorded", attempt.recorded_at, number=attempt.number, outcome=attempt.outcome))
    if message.redriven_at is not None:
        found.append(_event("redriven", message.redriven_at))
    if message.ended_at is not None:
        found.append(_event(message.status, message.ended_at, reason=message.status_reason))
    # Stable: what happened in one statement stays in the order above.
    found.sort(key=event_at)
    return found


def _event(name: str, at: datetime, **details: object) -> dict[str, Any]:
    return TimelineEventAnswer.json(event=str(name), at=at, **details)


def event_at(event: dict[str, Any]) -> datetime:
    """The instant of an event."""
    at: datetime = event["at"]
    return at
