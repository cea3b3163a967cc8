"""The command `heyday doctor`: what it was asked to do, among the servers that the settings name, and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from actors.doctor.adopt import adopt
from actors.doctor.adoption import Adoption
from actors.doctor.examination import examine_all, show
from actors.doctor.ledger import compare, mend
from actors.doctor.queries import check_queries
from actors.doctor.remarks import examine
from service.adapters.postgres.connection import Database
from service.adapters.postgres.ledger import opened
from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.redis.connection import RedisClients, connect
from service.domain.zones import TZDATA_VERSION
from service.ports import Unavailable
from service.settings import Secret, Settings, read, read_database_url

OK = 0
NOT_WELL = 1
REFUSED = 3

CONNECTIONS = 2
"""Connections of the doctor: few, because the nodes may have taken nearly all."""


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Do what was asked for. Raises BadConfiguration."""
    try:
        if args.ledger:
            return asyncio.run(_ledger(read_database_url(environment), args))
        if args.adopt:
            return asyncio.run(_adopt(read(environment), args))
        if args.queries:
            return asyncio.run(_queries(read_database_url(environment), as_json=args.json))
        return asyncio.run(_examine(read(environment), as_json=args.json))
    except (Unavailable, OSError) as error:
        say(f"heyday: {error}")
        return NOT_WELL


def say(line: str) -> None:
    """A line for people, or of JSON."""
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


async def _examine(settings: Settings, *, as_json: bool) -> int:
    async with _database(settings.database_url) as database, _redis(settings) as redis:
        examined = await examine_all(settings, database, redis)
    return OK if show(examined, as_json=as_json, say=say) else NOT_WELL


async def _queries(dsn: Secret, *, as_json: bool) -> int:
    async with _database(dsn) as database:
        examined = await examine("queries", partial(check_queries, database))
    return OK if show([examined], as_json=as_json, say=say) else NOT_WELL


async def _adopt(settings: Settings, args: argparse.Namespace) -> int:
    async with _database(settings.database_url) as database, _redis(settings) as redis:
        adoption = Adoption(settings, database, redis)
        adopted = await adopt(adoption, settings, resend=args.resend, dry_run=args.dry_run, say=say)
    return OK if adopted else REFUSED


async def _ledger(dsn: Secret, args: argparse.Namespace) -> int:
    async with opened(dsn) as ledger:
        same = await compare(ledger, args.ledger, since=args.starts_at, until=args.ends_at, as_json=args.json, say=say)
        if args.mend:
            async with _database(dsn) as database:
                nodes = PostgresNodes(database, tzdata=TZDATA_VERSION)
                incarnation = await nodes.enter("doctor")
                try:
                    await mend(ledger, incarnation=incarnation, say=say)
                finally:
                    await nodes.leave(incarnation)
    return OK if same or args.mend else NOT_WELL
