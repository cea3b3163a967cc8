"""Explains each hot query on a database: EXPLAIN (ANALYZE, BUFFERS), rolled back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg

from loadtest.hot_queries import HOT, Known, statements
from service.adapters.postgres.session import SETTINGS

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_MAKE_WAVE = """
    insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata, status, attempt,
        queued_at, queued_by, claimed_at, claimed_by)
    select id, 'anniversary', extract(year from now()), timezone,
        $2::timestamptz - case when status = 'retrying' then interval '1 minute' else interval '0' end, $2, 'none',
        status, (status in ('sending', 'retrying'))::integer,
        case when status <> 'scheduled' then now() end, case when status <> 'scheduled' then 1 end,
        case when status = 'sending' then now() end, case when status = 'sending' then 1 end
    from (select *,
            (array['scheduled', 'queued', 'sending', 'retrying'])[1 + row_number() over (order by id) % 4] as status
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
    """Return a Markdown document with a table of all plans and each plan, for up to `batch` ids, while a wave of `wave`
    users is under way."""
    rows = await connection.fetchval("select count(*) from messages")
    people = await connection.fetchval("select count(*) from users")
    parts: list[str] = []
    table = ["| query | ms | pages | reads the tables by |", "| --- | --- | --- | --- |"]
    for name, value in SETTINGS.items():
        await connection.execute("select set_config($1, $2, false)", name, value)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(_MAKE_WAVE, wave, datetime.now(UTC))
        (row,) = await connection.fetch(_KNOWN, batch)
        names = Known(
            user=row["user"], message=row["message"], year=row["year"], sending=row["sending"], ids=row["ids"]
        )
        for file, name, values in HOT:
            # Each query starts from the same rows: the changes of earlier queries are rolled back.
            savepoint = connection.transaction()
            await savepoint.start()
            prepare, execute = statements(file, name, values, names)
            await connection.execute(prepare)
            lines = await connection.fetch(f"explain (analyze, buffers) {execute}")
            await connection.execute("deallocate asked")
            await savepoint.rollback()
            text = "\n".join(line[0] for line in lines)
            parts.append(f"## {file}: {name}\n\n```\n{text}\n```\n")
            table.append(f"| `{file}.{name}` | {_row(text)} |")
    finally:
        await transaction.rollback()
    counts = f"{people} users, {rows} messages, {wave} on their way; {batch} ids a query."
    return "\n".join([f"# Plans of the hot queries\n\n{counts}\n", *table, "", *parts])


def _row(plan: str) -> str:
    """Return milliseconds, touched pages and used indexes of a plan; a full read of a table is named."""
    (spent,) = re.findall(r"Execution Time: ([\d.]+) ms", plan)
    first = re.search(r"Buffers: shared (.+)", plan)
    pages = sum(int(count) for count in re.findall(r"(?:hit|read)=(\d+)", first[1])) if first else 0
    began = [line for line in plan.splitlines() if "never executed" not in line]
    scans = re.compile(r"(?:Index(?: Only)? Scan(?: Backward)? using|Bitmap Index Scan on) (\w+)")
    used = {f"`{_of_any_year(name)}`" for line in began for name in scans.findall(line)}
    # PostgreSQL reads an empty partition in full, too, because that is cheapest.
    read = [line for line in began if "rows=0.00" not in line]
    whole = {f"all of `{_of_any_year(name)}`" for line in read for name in re.findall(r"Seq Scan on (\w+)", line)}
    return f"{float(spent):.2f} | {pages} | {', '.join(sorted(used | whole)) or '–'}"


def _of_any_year(name: str) -> str:
    return re.sub(r"_\d{4}", "", name)
