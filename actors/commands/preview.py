"""`heyday preview`: a dry run of a window, as a table or as lines of JSON."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from actors.api.answers import encode
from actors.api.preview_json import verdict_json
from actors.commands.looking import Looking, Wrong, look
from actors.commands.zone_data import zone_data_diff
from service.domain.zones import zone
from service.preview import OutOfReach, Position, Preview, Scope
from service.prospects import Prospect

AT_ONCE = 500
"""Verdicts read at once, so that a window of any size takes no more memory than that."""

_ROW = "{:<20}  {:<16}  {:<30}  {:<14}  {:<36}  {}"


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Write the preview and return the exit code. Raises BadConfiguration."""

    async def work(looking: Looking) -> None:
        await (zone_data_diff(args, looking) if args.tzdata_diff else _preview(args, looking))

    return look(environment, work)


async def _preview(args: argparse.Namespace, looking: Looking) -> None:
    codes = [row.code for row in looking.rules.occasions]
    if args.occasion not in (None, *codes):
        raise Wrong(f"--occasion: expected one of {', '.join(codes)}, not {args.occasion!r}")
    starts_at = args.starts_at or looking.planned.now
    scope = Scope(
        starts_at, args.ends_at or starts_at + timedelta(days=1), args.occasion, user_id=args.user, deleted=args.deleted
    )
    try:
        scope.check(looking.planned.now)
    except OutOfReach as error:
        raise Wrong(f"--{error.field}: {error}") from error

    preview = Preview(looking.previews, looking.rules, looking.planned, late_limit=looking.late_limit)
    if not args.json:
        _say(_ROW.format("SEND AT", "LOCAL", "ZONE", "OCCASION", "USER", "STATUS"))
    counted: Counter[str] = Counter()
    position: Position | None = None
    while True:
        page = await preview.page(scope, after=position, limit=AT_ONCE)
        for verdict in page.items:
            counted[_status(verdict)] += 1
            _say(encode(verdict_json(verdict)).decode() if args.json else _row(verdict))
        if (position := page.more) is None:
            break
    if not args.json:
        total = ", ".join(f"{count} {status}" for status, count in sorted(counted.items()))
        _say(f"{counted.total()} in all" + (f": {total}" if total else ""))


def _row(verdict: Prospect) -> str:
    at, timezone = verdict.send_at, verdict.timezone
    return _ROW.format(
        "" if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "" if at is None else _local(at, timezone),
        timezone,
        verdict.occasion,
        str(verdict.user_id),
        _status(verdict),
    )


def _local(at: datetime, timezone: str) -> str:
    return f"{at.astimezone(zone(timezone)):%Y-%m-%d %H:%M}"


def _status(verdict: Prospect) -> str:
    return f"left out: {verdict.left_out}" if verdict.left_out is not None else str(verdict.status)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
