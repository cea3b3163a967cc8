"""Checks of PostgreSQL: the server, the schema, the clock, connections, privileges, the plan and the years."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from actors.doctor.remarks import Remark, bad, warning, well
from service.adapters.postgres.checkup import PostgresCheckup, Server
from service.adapters.postgres.connection import Database
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.migrations import available, missing
from service.adapters.postgres.planning import PostgresPlanning
from service.settings import Settings

OLDEST_VERSION = 14
"""The oldest release of PostgreSQL that its makers still mend."""

SKEW = 1.0
"""Seconds by which this machine's clock may differ from the database's: more is shown, although the latter decides."""

PLANNED_AHEAD = timedelta(hours=24)
"""Less planned than this, and one more missed daily job makes greetings late."""


async def check_postgres(settings: Settings, database: Database) -> list[Remark]:
    """Everything about PostgreSQL. Raises Unavailable."""
    checkup = PostgresCheckup(database)
    server = await checkup.server()
    remarks = list(_server(server))
    async with database.connection() as connection:
        lacking = await missing(connection)
    if lacking:
        return [*remarks, bad(f"the schema lacks {', '.join(lacking)}: run `heyday migrate`")]
    remarks.append(well(f"the schema is of version {available()[-1].number}"))
    nodes = await checkup.nodes()
    return [
        *remarks,
        *await _clock(database),
        *_connections(server, settings.database_connections, len(nodes)),
        *await _privileges(checkup),
        *await _plan(database),
        *await _years(checkup),
        *await _work(checkup),
    ]


def _server(server: Server) -> Iterator[Remark]:
    old = server.version_number // 10_000 < OLDEST_VERSION
    yield (warning if old else well)(
        f"PostgreSQL {server.version}" + (f": {OLDEST_VERSION} or newer is tested and still mended" if old else "")
    )
    if server.standby:
        yield bad("this is a standby, which cannot be written to: HEYDAY_DATABASE_URL must lead to the primary")
    if server.encoding != "UTF8":
        yield bad(f"the database is encoded in {server.encoding}: names of people need UTF8")
    for name, value in (("fsync", server.fsync), ("full_page_writes", server.full_page_writes)):
        if value == "off":
            yield warning(f"{name} is off: a power cut may lose or damage what was committed")
    if server.synchronous_commit == "off":
        yield warning("synchronous_commit is off: a crash loses the last commits, and what was sent may be sent again")


async def _clock(database: Database) -> list[Remark]:
    before = time.time()
    pulse = await PostgresMessages(database).pulse()
    skew = (before + time.time()) / 2 - pulse.real_now.timestamp()
    remarks = []
    if abs((pulse.now - pulse.real_now).total_seconds()) > SKEW or pulse.rate != 1:
        remarks.append(
            bad(f"the business clock was moved (to {pulse.now.isoformat()}): a real node refuses this database")
        )
    if abs(skew) > SKEW:
        remarks.append(warning(f"this machine's clock differs from the database's by {skew:+.1f} s: one is wrong"))
    return remarks or [well(f"its clock is the real one, and differs from this machine's by {skew:+.3f} s")]


def _connections(server: Server, per_node: int, nodes: int) -> list[Remark]:
    free = server.max_connections - server.reserved
    used = f"{server.connections} of {free} connections are in use, {server.ours} of them by heyday"
    one_more = (nodes + 1) * per_node + server.connections - server.ours
    if server.connections >= free:
        return [bad(f"{used}: nobody else gets in; raise max_connections, or lower HEYDAY_DATABASE_CONNECTIONS")]
    if one_more > free:
        return [
            warning(
                f"{used}; {nodes + 1} nodes with {per_node} each could want {one_more}: raise max_connections, use a "
                "pooler, or lower HEYDAY_DATABASE_CONNECTIONS"
            )
        ]
    return [well(used)]


async def _privileges(checkup: PostgresCheckup) -> list[Remark]:
    remarks = []
    if lacks := await checkup.lacks_privileges():
        remarks.append(bad(f"this role may not read and write {', '.join(lacks)}: grant it, or let it own them"))
    if not await checkup.may_make_years():
        remarks.append(bad("this role cannot make the partitions of the next year: it must own the tables"))
    return remarks or [well("this role may do what a node does")]


async def _plan(database: Database) -> list[Remark]:
    planned = await PostgresPlanning(database).planned()
    ahead = planned.complete - planned.now
    text = f"everything is planned up to {planned.complete.isoformat(timespec='seconds')}"
    if ahead < timedelta(0):
        return [bad(f"{text}, which has passed: greetings are late; is a node running, and its planner?")]
    if ahead < PLANNED_AHEAD:
        return [warning(f"{text}, in {ahead.total_seconds() / 3600:.0f} h: has the daily job been missed?")]
    return [well(text)]


async def _years(checkup: PostgresCheckup) -> list[Remark]:
    this_year, years = await checkup.years()
    lacking = [str(year) for year in (this_year, this_year + 1) if year not in years]
    if lacking:
        return [bad(f"there is no partition for {' and '.join(lacking)}: the daily job makes it; does a node run?")]
    return [well(f"there are partitions for {years[0]} to {years[-1]}")]


async def _work(checkup: PostgresCheckup) -> list[Remark]:
    work = await checkup.work()
    remarks = []
    if work.fence is None:
        remarks.append(bad("the table fences has lost the row of the ticker: nothing is handed out without it"))
    if work.overdue:
        remarks.append(bad(f"{work.overdue} messages are due since more than 5 minutes: nobody hands them out"))
    if work.unknown:
        remarks.append(warning(f"{work.unknown} messages are unknown and wait for a person: see `heyday redrive`"))
    if work.unburied:
        remarks.append(warning(f"{work.unburied} failed messages have no copy among the dead letters yet"))
    return remarks or [well("nothing waits for longer than it should, and nothing for a person")]
