"""Users and messages by the million, made by set-based statements in the database itself."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

ROWS_AT_ONCE = 250_000
"""Rows of one statement: a transaction of seconds."""

DUE_A_SECOND = 8_000
"""A cautious guess at how many messages a second `due` makes: a wave may not begin before they are there."""

_USERS = """
    insert into users (first_name, last_name, email, email_key, timezone, created_at)
    select 'Ada', 'No ' || n, n || '@a.test', n || '@a.test', $3, now() - interval '400 days'
    from generate_series($1::bigint, $2::bigint) n
"""

_DUE = """
    insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
    select id, $4, extract(year from $3::timestamptz), timezone, $3, $3, 'none'
    from users
    where deleted_at is null
        and email_key = any(select n || '@a.test' from generate_series($1::bigint, $2::bigint) n)
"""

_BORN = """
    with made as (
        insert into users (first_name, last_name, email, email_key, timezone, created_at)
        select 'Ada', 'No ' || n, n || '@a.test', n || '@a.test',
            case when n <= $3 then $4
                else (array['UTC', 'Asia/Tokyo', 'America/New_York', 'Europe/Paris'])[1 + n % 4] end,
            now() - interval '400 days'
        from generate_series($1::bigint, $2::bigint) n
        returning id, email_key
    )
    insert into occasion_dates (user_id, occasion, date)
    select id, 'birthday', case when n <= $3 then $5::date
        else date '1990-01-01' + (extract(doy from $5::date)::integer + 9 + (n % 340)::integer) % 365 end
    from made, lateral (select split_part(email_key, '@', 1)::bigint as n) as numbered
"""

_HISTORY = """
    with sent as (
        insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata, planned_at, status,
            attempt, queued_at, queued_by, claimed_at, ended_at)
        select gen_random_uuid(), 'birthday', extract(year from now()), 'UTC', at, at, 'none', at - interval '1 day',
            'sent', 1, at, 1, at, at
        from generate_series(1, $1::integer) n,
            lateral (select now() - interval '1 hour' - make_interval(secs => n / 100.0) as at) as instants
        returning id, local_year, send_at
    )
    insert into attempts (message_id, local_year, number, outcome, incarnation, started_at, duration, status_code)
    select id, local_year, 1, 'accepted', 1, send_at, 0.05, 200 from sent
"""


async def users(connection: Connection, count: int, *, since: int = 1, timezone: str = "UTC") -> None:
    """Make so many users, numbered from `since`, who have no day."""
    for first, last in _blocks(since, count):
        await connection.execute(_USERS, first, last, timezone)


async def due(connection: Connection, count: int, at: datetime, *, since: int = 1, occasion: str = "birthday") -> None:
    """Make a message for each of so many users, due at one instant."""
    for first, last in _blocks(since, count):
        await connection.execute(_DUE, first, last, at, occasion)


async def born(connection: Connection, count: int, *, together: int, timezone: str, day: date, since: int = 1) -> None:
    """Make so many users with a birthday, numbered from `since`: those up to `together` on `day` in that zone, and all
    others on no day near it."""
    for first, last in _blocks(since, count):
        await connection.execute(_BORN, first, last, together, timezone, day)


async def history(connection: Connection, count: int) -> None:
    """Make so many messages of this year that were sent at their first attempt, of users who are no longer kept."""
    for first, last in _blocks(1, count):
        await connection.execute(_HISTORY, last - first + 1)


def _blocks(since: int, count: int) -> list[tuple[int, int]]:
    until = since + count
    return [(first, min(first + ROWS_AT_ONCE, until) - 1) for first in range(since, until, ROWS_AT_ONCE)]
