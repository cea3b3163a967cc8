"""Checks of PostgreSQL: server, schema, clock, connections, privileges, plan, partitions, waiting work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from actors.commands.doctor.check_results import Check, CheckResult, error, ok, run_part, warning
from actors.commands.output import counted
from service.adapters.postgres.checkup import PostgresCheckup, Server
from service.adapters.postgres.connection import Database
from service.adapters.postgres.holds import PostgresHolds
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.migrations import available, missing, newer
from service.adapters.postgres.planning import PostgresPlanning
from service.domain.planning import CalendarDefaults
from service.ports import Unavailable, UnsuitableDatabase
from service.settings import Settings

SHOWN = 10
"""Messages set aside that are listed."""

OLDEST_VERSION = 14
"""The oldest release that the PostgreSQL project still maintains."""

SKEW = 1.0
"""Seconds. A larger difference between the clock of this machine and the database's is a warning."""

PLANNED_AHEAD = timedelta(hours=24)
"""With less than this planned, one more missed daily job makes greetings late."""


async def check_postgres(settings: Settings, database: Database) -> list[CheckResult]:
    """Run every part. A part that the server denies does not stop the others. Raises Unavailable."""
    checkup = PostgresCheckup(database)
    server = await checkup.server()
    results = list(_server(server))
    try:
        async with database.connection() as connection:
            lacking = await missing(connection)
            if lacking:
                none = len(lacking) == len(available())
                lack = "there is no schema of heyday yet" if none else f"the schema lacks {', '.join(lacking)}"
                return [*results, error(f"{lack}: run `heyday migrate`", unusable="postgres")]
            beyond = await newer(connection)
    except UnsuitableDatabase as unsuitable:
        return [*results, error(str(unsuitable), unusable="postgres")]
    except Unavailable as away:
        if isinstance(away.__cause__, OSError):  # no answer in time, or no connection: it would answer nothing more
            raise
        if grants := await checkup.lacking_grants():  # a role that may not read the schema's version either
            return [*results, *(replace(_lacks(grant), unusable="postgres") for grant in grants)]
        raise
    results.append(ok(f"the schema is of version {available()[-1].number}"))
    if beyond:
        results.append(
            warning(f"a newer version of heyday has applied {', '.join(beyond)}: update this one when its nodes are")
        )
    parts: dict[str, Check] = {
        "the clock": partial(_clock, database),
        "connections": partial(_connections, checkup, server, settings.connections_of_node),
        "privileges": partial(_privileges, checkup),
        "the plan": partial(_plan, database),
        "planning rules": partial(_rules, settings, database),
        "partitions": partial(_years, checkup),
        "waiting work": partial(_work, checkup),
        "holds": partial(_holds, database),
        "rows set aside": partial(_set_aside, database),
    }
    for subject, part in parts.items():
        results += await run_part(subject, part)
    return results


def _server(server: Server) -> Iterator[CheckResult]:
    old = server.version_number // 10_000 < OLDEST_VERSION
    yield (warning if old else ok)(
        f"PostgreSQL {server.version}" + (f": {OLDEST_VERSION} or newer is tested and maintained" if old else "")
    )
    if server.standby:
        yield error("this is a read-only standby: HEYDAY_DATABASE_URL must lead to the primary")
    for name, value in (("fsync", server.fsync), ("full_page_writes", server.full_page_writes)):
        if value == "off":
            yield warning(f"{name} is off: a power cut can lose or damage committed data")
    if server.not_archived is not None:
        yield warning(
            f"its archive refuses {server.not_archived}: the log is kept until its disk is full, and a restore ends "
            "before it; PostgreSQL's own log says why"
        )
    if server.synchronous_commit == "off":
        yield warning(
            "synchronous_commit is off: a crash loses the last commits, and heyday may send those messages again"
        )


async def _clock(database: Database) -> list[CheckResult]:
    before = time.time()
    reading = await PostgresMessages(database).read_clock()
    skew = (before + time.time()) / 2 - reading.real_now.timestamp()
    results = []
    if abs((reading.now - reading.real_now).total_seconds()) > SKEW or reading.rate != 1:
        results.append(
            error(f"the business clock was moved (to {reading.now.isoformat()}): a real node refuses this database")
        )
    if abs(skew) > SKEW:
        results.append(warning(f"this machine's clock differs from the database's by {skew:+.1f} s: one is wrong"))
    return results or [ok(f"its clock is the real one, and differs from this machine's by {skew:+.3f} s")]


async def _connections(checkup: PostgresCheckup, server: Server, per_node: int) -> Sequence[CheckResult]:
    nodes = len(await checkup.nodes())
    free = server.max_connections - server.reserved
    used = f"{server.connections} of {free} connections are in use, {server.ours} of them by heyday"
    one_more = (nodes + 1) * per_node + server.connections - server.ours
    if server.connections >= free:
        return [
            error(f"{used}: no new connection is possible; raise max_connections, or lower HEYDAY_DATABASE_CONNECTIONS")
        ]
    if one_more > free:
        return [
            warning(
                f"{used}; {nodes + 1} nodes with {per_node} each need up to {one_more}: raise max_connections, use a "
                "pooler, or lower HEYDAY_DATABASE_CONNECTIONS"
            )
        ]
    return [ok(used)]


def _lacks(grant: str) -> CheckResult:
    return error(f"this role lacks privileges: run as the owner of the tables: {grant};")


async def _privileges(checkup: PostgresCheckup) -> list[CheckResult]:
    return [*map(_lacks, await checkup.lacking_grants())] or [ok("this role has the privileges that a node needs")]


async def _plan(database: Database) -> list[CheckResult]:
    planning = PostgresPlanning(database)
    planned = await planning.planned()
    ahead = planned.complete - planned.now
    text = f"everything is planned up to {planned.complete.isoformat(timespec='seconds')}"
    if ahead < timedelta(0) and not (await planning.rules()).written:
        return [warning("nothing is planned yet: the first node plans; start a node")]
    if ahead < timedelta(0):
        return [error(f"{text}, which has passed: greetings are late; check that a node runs")]
    if ahead < PLANNED_AHEAD:
        return [warning(f"{text}, in {ahead.total_seconds() / 3600:.0f} h: the daily job may have been missed")]
    return [ok(text)]


async def _rules(settings: Settings, database: Database) -> list[CheckResult]:
    """The planning rules in force, this environment beside them, and the occasions that are not understood."""
    ours = CalendarDefaults(settings.send_at, settings.leap_day)
    rules = await PostgresPlanning(database, defaults=ours).rules()
    results = [error(f"occasion {one.code[:32]}: {one}") for one in rules.problems]
    present = CalendarDefaults(rules.send_at, rules.leap_day)
    if not rules.written:
        return [*results, ok("no node has written planning rules yet: the first one writes its own")]
    if present != ours:
        return [
            *results,
            warning(
                f"nodes plan by {present} of the database; HEYDAY_SEND_AT and HEYDAY_LEAP_DAY here are {ours}: "
                "a node that starts with them writes them there"
            ),
        ]
    return [*results, ok(f"nodes plan by {present} (version {rules.version}), as this environment says")]


async def _years(checkup: PostgresCheckup) -> list[CheckResult]:
    this_year, years = await checkup.years()
    lacking = [str(year) for year in (this_year, this_year + 1) if year not in years]
    if lacking:
        return [
            error(
                f"there is no partition for {' and '.join(lacking)}: the daily job creates it; check that a node runs"
            )
        ]
    return [ok(f"there are partitions for {years[0]} to {years[-1]}")]


async def _work(checkup: PostgresCheckup) -> list[CheckResult]:
    work = await checkup.work()
    results = []
    if work.fence is None:
        results.append(
            error("the row of the ticker in the table fencing_tokens is missing: nothing is sent without it")
        )
    if work.overdue:
        overdue = counted(work.overdue, "message has", "messages have")
        results.append(error(f"{overdue} been due for more than 5 minutes without being claimed by a node"))
    if work.unknown:
        unknown = counted(work.unknown, "message is unknown and waits", "messages are unknown and wait")
        results.append(warning(f"{unknown} for your decision: see `heyday redrive`"))
    if work.awaiting_dead_letter:
        failed = counted(work.awaiting_dead_letter, "failed message is", "failed messages are")
        results.append(warning(f"{failed} not yet copied to the dead letters"))
    return results or [ok("no message is overdue, and none waits for your decision")]


async def _holds(database: Database) -> list[CheckResult]:
    return [warning(f"{hold}; `heyday release` lets it go on") for hold in await PostgresHolds(database).active()]


async def _set_aside(database: Database) -> list[CheckResult]:
    return [
        error(
            f"PostgreSQL cannot change the rows of {one.subject} {one.id} ({one.action}, "
            f"{counted(one.failures, 'time')} since {one.since.isoformat(timespec='seconds')}): "
            f"{one.reason}; repair them"
        )
        for one in await PostgresMessages(database).set_aside(SHOWN)
    ]
