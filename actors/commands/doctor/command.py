"""`heyday doctor`: connects to the servers that the settings name, does what was asked, and returns an exit code."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from actors.commands.arguments import refuse_reversed, usable
from actors.commands.doctor.adopt import adopt
from actors.commands.doctor.adoption import Adoption
from actors.commands.doctor.check_results import first_line, run_check
from actors.commands.doctor.checks import run_checks, show
from actors.commands.doctor.ledger import compare, mend
from actors.commands.doctor.ledger_file import open_ledger
from actors.commands.doctor.queries import check_queries
from actors.commands.errors import CommandFailed, WrongUsage
from actors.commands.exit_codes import FAILED, OK
from actors.commands.output import OutputFailed, discard_output
from service.adapters.postgres.connection import Database
from service.adapters.postgres.ledger import opened
from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.redis.connection import RedisClients, connect
from service.domain.zones import TZDATA_VERSION
from service.ports import Unavailable
from service.settings import BadConfiguration, Secret, Settings, read, read_database_url

_NEEDED = {
    "hold": "adopt",
    "resend": "adopt",
    "dry_run": "adopt",
    "from": "ledger",
    "to": "ledger",
    "mend": "ledger",
}
"""Options, and the one without which they have no effect."""

_NAMES = {"from": "starts_at", "to": "ends_at"}

CONNECTIONS = 2
"""Connections of the doctor to PostgreSQL. The nodes may hold nearly all of them."""


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Do what was asked and return the exit code. Raises BadConfiguration, CommandFailed, WrongUsage and no other."""
    _refuse_without_effect(args)
    try:
        return asyncio.run(_work(args, environment))
    except (BadConfiguration, CommandFailed, WrongUsage):
        raise
    except (Unavailable, OSError) as failure:
        raise CommandFailed(str(failure)) from failure
    except Exception as failure:
        # A server may deny any command in its own words. Its sentence helps more than a traceback.
        raise CommandFailed(f"doctor cannot continue: {first_line(failure)}") from failure


def _refuse_without_effect(args: argparse.Namespace) -> None:
    """Raise WrongUsage for options that have no effect without another one, and for two actions at once."""
    asked = [name for name in ("adopt", "ledger", "queries") if getattr(args, name)]
    if len(asked) > 1:
        raise WrongUsage(f"--{asked[1]}: not allowed with --{asked[0]}")
    for option, needed in _NEEDED.items():
        if getattr(args, _NAMES.get(option, option)) and needed not in asked:
            raise WrongUsage(f"--{option.replace('_', '-')}: expected --{needed} with it")
    if args.adopt and args.json:
        raise WrongUsage("--json: not allowed with --adopt")
    refuse_reversed(args)


def _work(args: argparse.Namespace, environment: Mapping[str, str]) -> Coroutine[Any, Any, int]:
    if args.ledger:
        return _ledger(read_database_url(environment), args)
    if args.adopt:
        return _adopt(read(environment), args)
    if args.queries:
        return _queries(read_database_url(environment), as_json=args.json)
    return _check(read(environment), as_json=args.json)


def say(line: str) -> None:
    """Write a line of text or of JSON."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@asynccontextmanager
async def _database(dsn: Secret) -> AsyncIterator[Database]:
    database = Database(dsn, size=CONNECTIONS)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[RedisClients]:
    redis = connect(settings.redis_url)
    try:
        yield redis
    finally:
        await redis.close()


async def _check(settings: Settings, *, as_json: bool) -> int:
    async with _database(settings.database_url) as database, _redis(settings) as redis:
        reports = await run_checks(settings, database, redis)
    return OK if show(reports, as_json=as_json, say=say) else FAILED


async def _queries(dsn: Secret, *, as_json: bool) -> int:
    async with _database(dsn) as database:
        report = await run_check("queries", partial(check_queries, database))
    return OK if show([report], as_json=as_json, say=say) else FAILED


async def _adopt(settings: Settings, args: argparse.Namespace) -> int:
    async with _database(settings.database_url) as database, _redis(settings) as redis:
        adoption = Adoption(settings, database, redis)
        adopted = await adopt(adoption, settings, resend=args.resend, dry_run=args.dry_run, say=say)
    return OK if adopted else FAILED


async def _ledger(dsn: Secret, args: argparse.Namespace) -> int:
    with usable("--ledger", args.ledger):
        file = open_ledger(args.ledger)
    with file:
        async with opened(dsn) as ledger:
            try:
                same = await compare(ledger, file, since=args.starts_at, until=args.ends_at, as_json=args.json, say=say)
            except OutputFailed:
                if not args.mend:
                    raise
                discard_output()  # what is to be mended does not depend on a reader
            if args.mend:
                async with _database(dsn) as database:
                    nodes = PostgresNodes(database, tzdata=TZDATA_VERSION)
                    await mend(ledger, incarnation=await nodes.visit("doctor"), as_json=args.json, say=say)
    return OK if args.mend or same else FAILED
