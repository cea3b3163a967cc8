"""Creates users and messages by the million, with set-based statements in the database."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

ROWS_AT_ONCE = 250_000
"""Rows of one statement, so that a transaction takes seconds."""

DUE_A_SECOND = 8_000
"""A low estimate of the messages per second that `due` makes: they must exist before the wave begins."""

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

_SPREAD = """
    insert into messages (id, user_id, occasion, local_year, timezone, send_at, due_at, tzdata, planned_at, status,
        attempt, queued_at, queued_by, claimed_at, ended_at)
    select made, made, 'birthday', extract(year from at), zone, at, at, 'none', at - interval '1 day',
        'sent', 1, at, 1, at, at + interval '1 second'
    from generate_series($1::bigint, $2::bigint) n,
        -- In order: each entry of an index is the last one, so the time of a row does not grow with the table.
        lateral (select lpad(to_hex($4 + n), 32, '0')::uuid as made) as ids,
        lateral (select (array['Asia/Tokyo', 'Asia/Kolkata', 'Africa/Lagos', 'UTC'])[1 + n % 4] as zone) as zones,
        lateral (select greatest(0, 300 - n * 300 / $3)::integer as days) as ago,
        lateral (select (date_trunc('day', now(), 'UTC') at time zone 'UTC' - make_interval(days => days)
            + interval '9 hours') at time zone zone as at) as instants
"""


async def users(connection: Connection, count: int, *, since: int = 1, timezone: str = "UTC") -> None:
    """Make `count` users without dates, numbered from `since`."""
    for first, last in _blocks(since, count):
        await connection.execute(_USERS, first, last, timezone)


async def due(connection: Connection, count: int, at: datetime, *, since: int = 1, occasion: str = "birthday") -> None:
    """Make a message for each of the users, due at one instant."""
    for first, last in _blocks(since, count):
        await connection.execute(_DUE, first, last, at, occasion)


async def born(connection: Connection, count: int, *, together: int, timezone: str, day: date, since: int = 1) -> None:
    """Make users with a birthday, numbered from `since`: those up to `together` on `day` in that zone, and all
    others on a day far from it."""
    for first, last in _blocks(since, count):
        await connection.execute(_BORN, first, last, together, timezone, day)


async def history(connection: Connection, count: int) -> None:
    """Make messages of this year that were sent at their first attempt, for users that no longer exist."""
    for first, last in _blocks(1, count):
        await connection.execute(_HISTORY, last - first + 1)


async def spread(connection: Connection, count: int, *, today: int = 0) -> None:
    """Make sent messages of the last 300 days, day after day, and of today. The users do not exist."""
    for first, last in _blocks(1, count):
        await connection.execute(_SPREAD, first, last, count + 1, 0)
    for first, last in _blocks(1, today):
        await connection.execute(_SPREAD, first, last, 1, count)


def _blocks(since: int, count: int) -> list[tuple[int, int]]:
    until = since + count
    return [(first, min(first + ROWS_AT_ONCE, until) - 1) for first in range(since, until, ROWS_AT_ONCE)]
