"""`heyday holds`: lists the holds with their start, author and reason; and the code that the hold commands share."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from actors.commands.errors import WrongValue
from actors.commands.exit_codes import OK
from service.adapters.postgres.connection import Database
from service.adapters.postgres.holds import PostgresHolds
from service.adapters.postgres.occasions import PostgresOccasions
from service.adapters.postgres.planning import PostgresPlanning
from service.api.http.json_text import encode
from service.api.representations.holds import hold_json
from service.domain.holds import Hold
from service.ports import Holds
from service.settings import read_database_url

PAGE_SIZE = 500
"""Holds in memory at a time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--all", action="store_true", help="also those that have ended, newest first")
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for JSON."""
    parser.add_argument("--json", action="store_true", help="write a line of JSON for each, as the API does")


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """List the holds and return the exit code. Raises BadConfiguration, Unavailable."""

    async def work(holds: Holds, now: datetime) -> int:
        if not args.all:
            active = await holds.active()
            write(active, now, as_json=args.json)
            if not active and not args.json:
                sys.stdout.write("Nothing is held.\n")
            return OK
        page = await holds.page(after=None, limit=PAGE_SIZE)
        while page:
            write(page, now, as_json=args.json)
            page = await holds.page(after=page[-1].id, limit=PAGE_SIZE)
        return OK

    return with_holds(environment, work)


def with_holds(
    environment: Mapping[str, str],
    work: Callable[[Holds, datetime], Awaitable[int]],
    *,
    occasion: str | None = None,
) -> int:
    """Open the database, and run `work` with its holds and the present instant.

    Raises BadConfiguration, Unavailable. Raises WrongValue, with the codes that exist, if there is no such occasion.
    """
    dsn = read_database_url(environment)

    async def opened() -> int:
        database = Database(dsn, size=1)
        await database.open()
        try:
            if occasion is not None:
                codes = [entry.occasion.code for entry in await PostgresOccasions(database).all()]
                if occasion not in codes:
                    raise WrongValue(f"--occasion: expected one of {', '.join(codes)}, not {occasion!r}")
            return await work(PostgresHolds(database), (await PostgresPlanning(database).planned()).now)
        finally:
            await database.close()

    return asyncio.run(opened())


def write(holds: Sequence[Hold], now: datetime, *, as_json: bool) -> None:
    """Write a line for each hold."""
    for hold in holds:
        if as_json:
            sys.stdout.write(encode(hold_json(hold, now)).decode() + "\n")
        else:
            sys.stdout.write(f"{hold.id}  {_sentence(hold, now)}\n")


def _sentence(hold: Hold, now: datetime) -> str:
    if hold.active(now):
        return str(hold)
    ended, by = (hold.released_at, hold.released_by) if hold.released_at else (hold.until, "its end")
    return f"{hold.words}, {hold.created_at:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M} UTC, " + (
        f"by {hold.author}: {hold.reason} (ended by {by})"
    )
