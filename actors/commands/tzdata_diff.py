"""`heyday preview --tzdata-diff`: shows the unsent messages that the installed zone data would move."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

from actors.commands.output import counted
from actors.commands.reports import ReportSources
from service.api.http.json_text import encode
from service.domain.planning import TzdataMove, moved_by_tzdata
from service.domain.zones import TZDATA_VERSION

_ROW = "{:<30}  {:<14}  {:>9}  {:<20}  {}"


async def write_tzdata_diff(args: argparse.Namespace, sources: ReportSources) -> None:
    """Write a row, or with `--json` a line of JSON, for each instant that differs. Raises Unavailable."""
    followed = await sources.zone_data.followed()
    moves = moved_by_tzdata(sources.rules, await sources.zone_data.unsent())
    if args.json:
        for move in moves:
            _say(encode(_json(move)).decode())
        return
    _say(f"unsent messages follow tzdata {followed.release or 'of no release yet'}; installed here is {TZDATA_VERSION}")
    if moves:
        _say(_ROW.format("ZONE", "OCCASION", "MESSAGES", "SEND AT", "AND BY THE ZONE DATA HERE"))
    for move in moves:
        unsent = move.unsent
        _say(
            _ROW.format(unsent.timezone, unsent.day.occasion, unsent.messages, _utc(unsent.send_at), _utc(move.send_at))
        )
    _say(f"{counted(sum(move.unsent.messages for move in moves), 'message')} would be moved")


def _json(move: TzdataMove) -> dict[str, object]:
    unsent = move.unsent
    return {
        "timezone": unsent.timezone,
        "occasion": unsent.day.occasion,
        "localYear": unsent.day.local_year,
        "messages": unsent.messages,
        "sendAt": unsent.send_at,
        "movedTo": move.send_at,
    }


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
