"""What PostgreSQL does for a greeting, statement by statement: the ticker's claim, the claim for sending, the record.

    python -m loadtest.statements --messages 20000

One connection and no node: every message is claimed by the ticker first, so that all of them are queued while bundles
of 50 are claimed for sending and recorded. Figures are of the processor time of all of PostgreSQL's processes.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import uvloop

from loadtest import crowd, servers
from loadtest.programs import cpu
from service.adapters.postgres.queries import load

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

CLAIM = 1_000
"""Messages of a claim of the ticker."""

BUNDLE = 50
"""Messages of a claim for sending, and of a record."""

STATEMENTS = ("claim_due", "claim_for_sending", "record")


async def measure(messages: int) -> dict[str, float]:
    """Microseconds of processor time of each statement, for a greeting."""
    sql = load("messages.sql")
    async with servers.running(rabbitmq=False) as running:
        connection = await asyncpg.connect(await running.database())
        await connection.execute("set jit = off")
        await crowd.users(connection, messages)
        await crowd.due(connection, messages, datetime.now(UTC) - timedelta(seconds=1))
        await connection.execute("analyze")
        node = await connection.fetchval("insert into nodes (node) values ('statements') returning incarnation")
        used = dict.fromkeys(STATEMENTS, 0.0)

        async def timed(name: str, *args: object) -> list[asyncpg.Record]:
            before = cpu(running.postgres.pid)
            rows = await connection.fetch(getattr(sql, name), *args)
            used[name] += cpu(running.postgres.pid) - before
            return rows

        queued: list[object] = []
        while rows := [row for row in await timed("claim_due", 1, node, CLAIM, timedelta(hours=48)) if row["id"]]:
            queued += [row["id"] for row in rows]
        for first in range(0, messages, BUNDLE):
            claimed = await timed("claim_for_sending", queued[first : first + BUNDLE], node)
            count = len(claimed)
            ids, years, attempts = ([row[name] for row in claimed] for name in ("id", "local_year", "attempt"))
            await timed(
                "record", [node] * count, ids, years, attempts, ["sent"] * count, [0.0] * count, ["accepted"] * count,
                [0.01] * count, [0.005] * count, [200] * count, [None] * count,
            )  # fmt: skip
        await connection.close()
    return {name: seconds / messages * 1e6 for name, seconds in used.items()}


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    args = parser.parse_args()
    rows = [f"| `{name}` | {value:.0f} |" for name, value in uvloop.run(measure(args.messages)).items()]
    sys.stdout.write("\n".join(["| statement | CPU µs a greeting |", "| --- | --- |", *rows, ""]))


if __name__ == "__main__":
    main()
