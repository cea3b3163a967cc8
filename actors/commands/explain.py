"""`heyday explain USER`: why a user was or was not greeted, and what will happen next."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from actors.api.answers import encode
from actors.api.message_json import event_at, events
from actors.api.preview_json import explanation_json
from actors.commands.looking import Looking, NotFound, Wrong, look
from service.domain.zones import zone
from service.explanation import Explained, Explanation, explain


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Write the explanation and return the exit code. Raises BadConfiguration."""

    async def work(looking: Looking) -> None:
        found = await explain(
            looking.previews,
            looking.history,
            looking.rules,
            looking.planned,
            await _id_of(args.user, looking),
            late_limit=looking.late_limit,
        )
        if found is None:
            raise NotFound(f"there is no user {args.user}, and never was")
        sys.stdout.write(encode(explanation_json(found)).decode() + "\n" if args.json else _text(found))

    return look(environment, work)


async def _id_of(user: str, looking: Looking) -> UUID:
    if "@" in user:
        found = await looking.previews.user_of(user)
        if found is None:
            raise NotFound(f"no user has the address {user}; one who is deleted is found by their id")
        return found
    try:
        return UUID(user)
    except ValueError:
        raise Wrong(f"USER: expected the id of a user (a UUID) or an email address, not {user!r}") from None


def _text(found: Explanation) -> str:
    lines = [
        f"User {found.user_id} in {found.timezone}, created {_local(found.created_at, found.timezone)}.",
        f"It is {_local(found.now, found.timezone)} there; planning is complete up to "
        f"{_local(found.planned_up_to, found.timezone)}.",
    ]
    for day in found.days:
        lines += ["", f"{day.verdict.occasion} {day.verdict.local_year}: {day.why}", *_way(day, found.timezone)]
    return "\n".join(lines) + "\n"


def _way(day: Explained, timezone: str) -> list[str]:
    """A line for each thing that happened to the message."""
    if day.timeline is None:
        return []
    shown = [f"    message {day.timeline.message.id}, status {day.timeline.message.status}"]
    for event in events(day.timeline):
        details = ", ".join(
            f"{name} {value}" for name, value in event.items() if name not in ("event", "at") and value is not None
        )
        shown.append(f"    {_local(event_at(event), timezone)}  {event['event']:<9}  {details}".rstrip())
    return shown


def _local(instant: datetime, timezone: str) -> str:
    return f"{instant.astimezone(zone(timezone)):%Y-%m-%d %H:%M:%S}"
