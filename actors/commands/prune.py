"""`heyday prune`: removes the messages and attempts of old years."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby

from actors.commands.arguments import whole_number
from actors.commands.errors import CommandFailed, WrongValue
from actors.commands.exit_codes import OK
from actors.commands.output import OutputFailed, counted
from actors.commands.principal import command_line
from actors.commands.progress import Progress
from service.adapters.postgres.years import RemovedYear, YearNotRemoved, Years, YearTable, opened_years
from service.api.http.json_text import encode
from service.settings import Secret, read_database_url


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--before", metavar="YEAR", type=whole_number(1, 9999), required=True, help="remove the years before YEAR"
    )
    parser.add_argument("--dry-run", action="store_true", help="count what would be removed, change nothing")
    parser.add_argument("--json", action="store_true", help="write a line of JSON for each year")


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Prune, or count with --dry-run. Raises BadConfiguration, CommandFailed, WrongValue, Unavailable."""
    try:
        return asyncio.run(_run(args, read_database_url(environment)))
    except YearNotRemoved as error:
        raise CommandFailed(str(error)) from error


async def _run(args: argparse.Namespace, dsn: Secret) -> int:
    async with opened_years(dsn) as years:
        this_year = await years.this_year()
        if args.before >= this_year:
            raise WrongValue(
                f"--before {args.before}: {this_year - 1} and later years are in use. A message of such a year may "
                "still be sent, and its row keeps the user from a second greeting. Expected at most "
                f"--before {this_year - 1}"
            )
        found = await years.tables(args.before)
        await _refuse_unsent(years, args.before, found)
        by_year = [list(tables) for _, tables in groupby(found, key=lambda table: table.year)]
        for tables in by_year:
            if kept := [table.name for table in tables if not table.is_ours]:
                sys.stderr.write(f"{tables[0].year} is left as it is: {' and '.join(kept)} was detached by hand\n")
            else:
                try:
                    await _prune(years, tables, args)
                except OutputFailed as failure:
                    if args.dry_run or tables is by_year[-1]:
                        raise
                    raise CommandFailed(
                        f"{tables[0].year} was removed, and later years are left as they are: {failure}"
                    ) from failure
        if not found and not args.json:
            sys.stdout.write(f"There is no year before {args.before}.\n")
    return OK


async def _refuse_unsent(years: Years, before: int, tables: Sequence[YearTable]) -> None:
    """Refuse before anything is changed."""
    unsent = await years.open_messages(before)
    if unsent and tables:
        counts = ", ".join(f"{year} has {count}" for year, count in sorted(unsent.items()))
        raise CommandFailed(
            f"Nothing was removed: there are unsent messages ({counts}). While a node runs they are sent, or expire "
            "after HEYDAY_LATE_LIMIT. Then run the command again"
        )


async def _prune(years: Years, tables: Sequence[YearTable], args: argparse.Namespace) -> None:
    with Progress(f"removing {tables[0].year}"):
        year = await (years.count(tables) if args.dry_run else years.remove(tables, by=command_line()))
    if args.json:
        sys.stdout.write(encode(_as_json(year, removed=not args.dry_run)).decode() + "\n")
    else:
        verb = "would be removed" if args.dry_run else "removed"
        size = year.bytes / 1_000_000
        rows = f"{counted(year.messages, 'message')} and {counted(year.attempts, 'attempt')}"
        sys.stdout.write(f"{year.year}: {rows} {verb}, {size:.1f} MB\n")
    sys.stdout.flush()


def _as_json(year: RemovedYear, *, removed: bool) -> dict[str, object]:
    return {
        "year": year.year,
        "messages": year.messages,
        "attempts": year.attempts,
        "bytes": year.bytes,
        "removed": removed,
    }
