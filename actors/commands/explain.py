"""`heyday explain USER`: shows why a user was or was not greeted, and what happens next."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import datetime

from actors.commands.arguments import id_or_address, user_id
from actors.commands.errors import CommandFailed
from actors.commands.reports import ReportSources, report
from service.api.http.json_text import encode
from service.api.representations.messages import event_at, events
from service.api.representations.preview import explanation_json
from service.domain.zones import zone
from service.reports.explanation import Explained, Explanation, explain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "user", metavar="USER", type=id_or_address, help="an id, or the email address of a user who is not deleted"
    )
    parser.add_argument("--json", action="store_true", help="write JSON, as GET /api/v1/users/{id}/explanation does")


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Write the explanation and return the exit code. Raises BadConfiguration, CommandFailed, Unavailable."""

    async def write(sources: ReportSources) -> None:
        found = await explain(
            sources.previews,
            sources.history,
            sources.rules,
            sources.planned,
            await user_id(args.user, sources.previews.user_of),
            late_limit=sources.late_limit,
            holds=sources.holds,
            limits=sources.limits,
        )
        if found is None:
            raise CommandFailed(f"there is no user {args.user}, and there never was")
        sys.stdout.write(encode(explanation_json(found)).decode() + "\n" if args.json else _text(found))

    return report(environment, write)


def _text(found: Explanation) -> str:
    lines = [
        f"User {found.user_id} in {found.timezone}, created {_local(found.created_at, found.timezone)}.",
        f"It is {_local(found.now, found.timezone)} there; planning is complete up to "
        f"{_local(found.planned_until, found.timezone)}.",
    ]
    lines += [f"Sending is held: {hold}." for hold in found.holds]
    for day in found.days:
        lines += ["", f"{day.verdict.occasion} {day.verdict.local_year}: {day.why}", *_timeline(day, found.timezone)]
    return "\n".join(lines) + "\n"


def _timeline(day: Explained, timezone: str) -> list[str]:
    """The lines of the timeline of the message."""
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
