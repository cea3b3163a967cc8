"""How PostgreSQL runs each hot query on a database as it is: EXPLAIN (ANALYZE, BUFFERS), all of it rolled back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg

from loadtest.hot_queries import HOT, Known, statements

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_MAKE_WAVE = """
    insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata, status, attempt,
        queued_at, queued_by, claimed_at, claimed_by)
    select id, 'anniversary', extract(year from now()), timezone, $2::timestamptz - interval '1 minute', $2, 'none',
        status, (status = 'sending')::integer,
        case when status <> 'scheduled' then now() end, case when status <> 'scheduled' then 1 end,
        case when status = 'sending' then now() end, case when status = 'sending' then 1 end
    from (select *, (array['scheduled', 'queued', 'sending'])[1 + row_number() over (order by id) % 3] as status
        from users order by id limit $1) as people
"""

_KNOWN = """
    select (select quote_literal(id) || '::uuid' from users order by id limit 1) as user,
        (select quote_literal(id) || '::uuid' from messages where status = 'queued' limit 1) as message,
        extract(year from now())::text || '::smallint' as year,
        (select quote_literal(id) || '::uuid' from messages where status = 'sending' limit 1) as sending,
        (select 'array[' || string_agg(quote_literal(id) || '::uuid', ', ') || ']'
            from (select id from messages where status = 'queued' limit $1) as waiting) as ids
"""


async def plans(connection: Connection, *, batch: int = 50, wave: int = 6_000) -> str:
    """A Markdown document with every plan, for up to `batch` ids, while a wave of so many users is under way."""
    rows = await connection.fetchval("select count(*) from messages")
    people = await connection.fetchval("select count(*) from users")
    parts = [
        f"# Plans of the hot queries\n\n{people} users, {rows} messages, {wave} on their way; {batch} ids a query.\n"
    ]
    await connection.execute("set jit = off")
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(_MAKE_WAVE, wave, datetime.now(UTC))
        await connection.execute("analyze messages")
        (row,) = await connection.fetch(_KNOWN, batch)
        names = Known(
            user=row["user"], message=row["message"], year=row["year"], sending=row["sending"], ids=row["ids"]
        )
        for file, name, values in HOT:
            # What takes part in an earlier query of the list must be as it was.
            savepoint = connection.transaction()
            await savepoint.start()
            prepare, execute = statements(file, name, values, names)
            await connection.execute(prepare)
            lines = await connection.fetch(f"explain (analyze, buffers) {execute}")
            await connection.execute("deallocate asked")
            await savepoint.rollback()
            text = "\n".join(line[0] for line in lines)
            parts.append(f"## {file}: {name}\n\n```\n{text}\n```\n")
    finally:
        await transaction.rollback()
    return "\n".join(parts)
