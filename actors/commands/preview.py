"""`heyday preview`: a dry run of a period, as a table or as lines of JSON."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from actors.commands.arguments import identifier, instant, refuse_reversed
from actors.commands.errors import WrongUsage, WrongValue
from actors.commands.output import printable
from actors.commands.reports import ReportSources, report
from actors.commands.tzdata_diff import write_tzdata_diff
from service.api.http.json_text import encode
from service.api.representations.preview import verdict_json
from service.domain.holds import Hold, hold_of
from service.domain.recipients import Recipient
from service.domain.zones import zone
from service.reports.eligibility import Prospect
from service.reports.outage import Outage, OutageCost, OutageTotal
from service.reports.preview import OutOfReach, Position, Preview, Scope, day_from

PAGE_SIZE = 500
"""Rows in memory at a time, for a period of any length."""

_ROW = "{:<20}  {:<16}  {:<30}  {:<14}  {:<36}  {}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--from", dest="starts_at", metavar="INSTANT", type=instant, help="start (default: now)")
    parser.add_argument("--to", dest="ends_at", metavar="INSTANT", type=instant, help="end (default: a day later)")
    parser.add_argument("--occasion", metavar="CODE", help="only this occasion, such as birthday")
    parser.add_argument("--user", metavar="ID", type=identifier, help="only this user")
    parser.add_argument("--deleted", action="store_true", help="include deleted users who have no message")
    parser.add_argument(
        "--json", action="store_true", help="write a line of JSON for each, as GET /api/v1/preview does"
    )
    parser.add_argument(
        "--as-if-down",
        dest="down",
        metavar=("FROM", "TO"),
        nargs=2,
        type=instant,
        help="show what would be late, and what would expire, had no node run from FROM to TO",
    )
    parser.add_argument(
        "--tzdata-diff",
        action="store_true",
        help="instead: show the unsent messages that the installed zone data moves",
    )


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Write the preview and return the exit code. Raises BadConfiguration, WrongUsage, Unavailable."""
    without_effect = {
        "--from": args.starts_at,
        "--to": args.ends_at,
        "--occasion": args.occasion,
        "--user": args.user,
        "--deleted": args.deleted or None,
        "--as-if-down": args.down,
    }
    for option, value in without_effect.items():
        if args.tzdata_diff and value is not None:
            raise WrongUsage(f"{option} has no effect with --tzdata-diff")
    refuse_reversed(args)
    if args.down is not None and args.down[0] >= args.down[1]:
        raise WrongValue("--as-if-down: expected FROM before TO")

    async def write(sources: ReportSources) -> None:
        await (write_tzdata_diff(args, sources) if args.tzdata_diff else _preview(args, sources))

    return report(environment, write)


async def _preview(args: argparse.Namespace, sources: ReportSources) -> None:
    codes = [row.code for row in sources.rules.occasions]
    if args.occasion not in (None, *codes):
        raise WrongValue(f"--occasion: expected one of {', '.join(codes)}, not {args.occasion!r}")
    outage = _outage(args, sources)
    starts_at = args.starts_at or (outage.starts_at if outage else sources.planned.now)
    ends_at = args.ends_at or (outage.ends_at if outage else day_from(starts_at))
    scope = Scope(starts_at, ends_at, args.occasion, user_id=args.user, deleted=args.deleted)
    try:
        scope.check(sources.planned.now)
    except OutOfReach as error:
        raise WrongValue(f"--{error.field}: {error}") from error

    preview = Preview(sources.previews, sources.rules, sources.planned, late_limit=sources.late_limit)
    if not args.json:
        _say(_ROW.format("SEND AT", "LOCAL", "ZONE", "OCCASION", "USER", "STATUS"))
    counted: Counter[str] = Counter()
    costs = OutageTotal()
    position: Position | None = None
    while True:
        page = await preview.page(scope, after=position, limit=PAGE_SIZE)
        wanted = [(verdict.user_id, verdict.occasion, verdict.local_year) for verdict in page.items]
        recipients = await sources.previews.recipients(wanted)
        for verdict, recipient in zip(page.items, recipients, strict=True):
            cost = None if outage is None else outage.cost(verdict)
            costs.add(cost)
            counted[_status(verdict, sources.holds)] += 1
            if args.json:
                shown = verdict_json(verdict, recipient, sources.holds, outage)
                _say(encode(shown).decode())
            else:
                _say(_row(verdict, sources.holds) + _cost(cost) + _recipient(recipient))
        if (position := page.more) is None:
            break
    if not args.json:
        total = ", ".join(f"{count} {status}" for status, count in sorted(counted.items()))
        for hold in sources.holds:
            if args.occasion is None or hold.covers(args.occasion):
                _say(f"{hold}.")
        _say(f"{counted.total()} in all" + (f": {total}" if total else ""))
        if outage is not None:
            _say(str(costs))


def _outage(args: argparse.Namespace, sources: ReportSources) -> Outage | None:
    if args.down is None:
        return None
    return Outage(args.down[0], args.down[1], sources.late_limit)


def _cost(cost: OutageCost | None) -> str:
    """Return the words that follow a greeting on its line."""
    if cost is None:
        return ""
    return "; down: would have expired" if cost.expired else f"; down: {cost.late} late"


def _recipient(recipient: Recipient | None) -> str:
    """Return the line with name, address and text of the greeting."""
    if recipient is None:
        return ""
    text = "" if recipient.text is None else ": " + printable(" ".join(recipient.text.split()))
    return f"\n    {recipient.name} <{recipient.email}>{text}"


def _row(verdict: Prospect, holds: Sequence[Hold]) -> str:
    at, timezone = verdict.send_at, verdict.timezone
    return _ROW.format(
        "" if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "" if at is None else _local(at, timezone),
        timezone,
        verdict.occasion,
        str(verdict.user_id),
        _status(verdict, holds),
    )


def _local(at: datetime, timezone: str) -> str:
    return f"{at.astimezone(zone(timezone)):%Y-%m-%d %H:%M}"


def _status(verdict: Prospect, holds: Sequence[Hold]) -> str:
    if verdict.waits and hold_of(holds, verdict.occasion) is not None:
        return f"{verdict.status}, held"
    return f"left out: {verdict.left_out}" if verdict.left_out is not None else str(verdict.status)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
