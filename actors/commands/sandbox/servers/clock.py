"""Moves the business clock of one database, for the demo and for tests.

It replaces the functions `business_now()` and `business_rate()`. A node refuses such a database unless it belongs to a
demo or a rehearsal. A comment on `business_now()` tells people.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncpg import Connection as _Connection
    from asyncpg.pool import PoolConnectionProxy

    # These classes are generic in their stubs only.
    Connection = _Connection[Any] | PoolConnectionProxy[Any]

_MOVED = """
create or replace function business_now() returns timestamptz language sql stable parallel safe
    as $$ select timestamptz '{at}' + (statement_timestamp() - timestamptz '{since}') * {rate}::double precision $$;
create or replace function business_rate() returns double precision language sql stable parallel safe
    as $$ select {rate}::double precision $$;
comment on function business_now() is 'not the real clock: {rate} times as fast since {at}';
"""


async def run_clock(connection: Connection, *, at: datetime, rate: float = 1.0) -> None:
    """Set the business clock to `at`, an aware datetime, and let it run `rate` times as fast as a real clock.

    A rate of 0 stops it. Raises ValueError for a datetime without a time zone.
    """
    if at.tzinfo is None:
        raise ValueError("at has no time zone")
    since: datetime = await connection.fetchval("select statement_timestamp()")
    statements = _MOVED.format(at=at.isoformat(), since=since.isoformat(), rate=float(rate))
    async with connection.transaction():
        await connection.execute(statements)


async def business_now(connection: Connection) -> datetime:
    """Read the business clock of this database."""
    now: datetime = await connection.fetchval("select business_now()")
    return now
