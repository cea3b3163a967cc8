"""`heyday preview --tzdata-diff`: which unsent messages the zone data installed here moves, before any node does it."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

from actors.api.answers import encode
from actors.commands.looking import Looking
from service.domain.zones import TZDATA_VERSION
from service.planning import shifted
from service.ports import Shifted

_ROW = "{:<30}  {:<14}  {:>9}  {:<20}  {}"


async def zone_data_diff(args: argparse.Namespace, looking: Looking) -> None:
    """Write a row, or with `--json` a line, for each instant that differs. Raises Unavailable."""
    followed = await looking.zone_data.followed()
    moves = shifted(looking.rules, await looking.zone_data.unsent())
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
    _say(f"{sum(move.unsent.messages for move in moves)} messages would be moved")


def _json(move: Shifted) -> dict[str, object]:
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
