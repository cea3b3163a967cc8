"""Moves the business clock of one database: for the demo, whose day takes a minute, and for tests.

The functions `business_now()` and `business_rate()` are replaced. A comment on `business_now()` says so in words that
`business_clock_is_real` looks for, since a node must refuse a database whose clock is not the real one.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncpg import Connection as _Connection
    from asyncpg.pool import PoolConnectionProxy

    # Generic for the type checker only: at run time these classes take no parameters.
    Connection = _Connection[Any] | PoolConnectionProxy[Any]

MARK = "not the real clock"
"""How the comment on `business_now()` of a database begins whose clock was moved."""

_REAL = """
create or replace function business_now() returns timestamptz language sql stable parallel safe
    as $$ select statement_timestamp() $$;
create or replace function business_rate() returns double precision language sql stable parallel safe
    as $$ select 1::double precision $$;
comment on function business_now() is null;
"""

_MOVED = """
create or replace function business_now() returns timestamptz language sql stable parallel safe
    as $$ select timestamptz '{at}' + (statement_timestamp() - timestamptz '{since}') * {rate}::double precision $$;
create or replace function business_rate() returns double precision language sql stable parallel safe
    as $$ select {rate}::double precision $$;
comment on function business_now() is '{mark}: {rate} times as fast since {at}';
"""


async def run_clock(connection: Connection, *, at: datetime, rate: float = 1.0) -> None:
    """Let the business clock of this database show `at`, an aware datetime, and run `rate` times as fast from here on.

    A rate of 0 stops it. Raises ValueError for a datetime without a time zone.
    """
    if at.tzinfo is None:
        raise ValueError("at has no time zone")
    since: datetime = await connection.fetchval("select statement_timestamp()")
    statements = _MOVED.format(at=at.isoformat(), since=since.isoformat(), rate=float(rate), mark=MARK)
    async with connection.transaction():
        await connection.execute(statements)


async def restore_clock(connection: Connection) -> None:
    """Let the business clock of this database be the real one again."""
    async with connection.transaction():
        await connection.execute(_REAL)


async def business_now(connection: Connection) -> datetime:
    """What the business clock of this database shows."""
    now: datetime = await connection.fetchval("select business_now()")
    return now


async def business_clock_is_real(connection: Connection) -> bool:
    """Whether nobody has moved the business clock of this database."""
    comment = await connection.fetchval("select obj_description('business_now()'::regprocedure, 'pg_proc')")
    return not (comment or "").startswith(MARK)
