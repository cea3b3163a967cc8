"""A message as JSON, and its way in the order in which it went."""

from __future__ import annotations

from datetime import datetime

from service.domain.messages import Status
from service.ports import Message, Timeline


def as_json(message: Message) -> dict[str, object]:
    """The message as a response shows it. Its text is not stored: it is made when the message is sent."""
    return {
        "id": message.id,
        "userId": message.user_id,
        "occasion": message.occasion,
        "localYear": message.local_year,
        "timezone": message.timezone,
        "sendAt": message.send_at,
        "dueAt": message.due_at,
        "status": message.status,
        "attempts": message.attempts,
        "reason": message.status_reason,
        "tzdata": message.tzdata,
        "plannedAt": message.planned_at,
        "endedAt": message.ended_at,
        "redrivenAt": message.redriven_at,
        "service": message.service if message.status is Status.SENT else None,
    }


def with_timeline(timeline: Timeline) -> dict[str, object]:
    """The message and everything on record that happened to it."""
    return {**as_json(timeline.message), "timeline": events(timeline)}


def events(timeline: Timeline) -> list[dict[str, object]]:
    """The events of a message, in order. The row keeps the latest queued and claimed times, and every attempt."""
    message = timeline.message
    found = [_event("planned", message.planned_at, tzdata=message.tzdata)]
    if timeline.queued_at is not None:
        found.append(_event("queued", timeline.queued_at, node=timeline.queued_node))
    if timeline.claimed_at is not None:
        version = timeline.text_version
        found.append(_event("claimed", timeline.claimed_at, node=timeline.claimed_node, textVersion=version))
    for attempt in timeline.attempts:
        found.append(
            _event(
                "attempt",
                attempt.started_at,
                number=attempt.number,
                service=attempt.service,
                node=attempt.node,
                outcome=attempt.outcome,
                statusCode=attempt.status_code,
                durationSeconds=round(attempt.duration, 6),
                error=attempt.error,
                providerId=attempt.provider_id,
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


def _event(name: str, at: datetime, **details: object) -> dict[str, object]:
    return {"event": str(name), "at": at, **details}


def event_at(event: dict[str, object]) -> datetime:
    """The instant of an event."""
    at = event["at"]
    if not isinstance(at, datetime):
        raise TypeError("an event has an instant")
    return at
