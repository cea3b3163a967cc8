"""Measures PostgreSQL's work per greeting by statement: the ticker's claim, the claim for sending, the record.

    python -m loadtest.statements --messages 20000 --together 100

It uses one connection and no node. First all messages are claimed as by the ticker, so all are queued while as many as
--together are claimed for sending and recorded by one statement each. Figures are the processor time of all PostgreSQL
processes.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta

import asyncpg
import uvloop

from loadtest import crowd, servers
from loadtest.programs import cpu
from service.adapters.postgres.queries import load
from service.adapters.postgres.session import SETTINGS, Servers

CLAIM = 1_000
"""Messages per claim of the ticker."""

STATEMENTS = ("claim_due", "claim_for_sending", "record")


async def measure(messages: int, together: int) -> dict[str, float]:
    """Return the microseconds of processor time per greeting of each statement.

    A claim for sending, and a record, has as many messages as `together`.
    """
    sql = load("messages.sql")
    async with servers.running(rabbitmq=False) as running:
        connection = await Servers(await running.database(), SETTINGS).connect()
        await crowd.users(connection, messages)
        await crowd.due(connection, messages, datetime.now(UTC) - timedelta(seconds=1))
        node = await connection.fetchval("insert into nodes (node) values ('statements') returning incarnation")
        used = dict.fromkeys(STATEMENTS, 0.0)

        async def timed(name: str, *args: object) -> list[asyncpg.Record]:
            before = cpu(running.postgres.pid)
            rows = await connection.fetch(getattr(sql, name), *args)
            used[name] += cpu(running.postgres.pid) - before
            return rows

        queued: list[object] = []
        while rows := [row for row in await timed("claim_due", 1, node, CLAIM, timedelta(hours=48), None) if row["id"]]:
            queued += [row["id"] for row in rows]
        for first in range(0, messages, together):
            claimed = await timed(
                "claim_for_sending", queued[first : first + together], node, 7, timedelta(hours=48), None, []
            )
            count = len(claimed)
            ids, years, attempts = ([row[name] for row in claimed] for name in ("id", "local_year", "attempt"))
            await timed(
                "record", [node] * count, ids, years, attempts, ["sent"] * count, [0.0] * count, ["accepted"] * count,
                [0.01] * count, [0.005] * count, [200] * count, [None] * count,
                [True] * count, [None] * count, ["primary"] * count, [False] * count, [7] * count,
            )  # fmt: skip
        await connection.close()
    return {name: seconds / messages * 1e6 for name, seconds in used.items()}


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--together", type=int, default=100, help="messages of a claim for sending, and of a record")
    args = parser.parse_args()
    rows = [f"| `{name}` | {value:.0f} |" for name, value in uvloop.run(measure(args.messages, args.together)).items()]
    sys.stdout.write("\n".join(["| statement | CPU µs a greeting |", "| --- | --- |", *rows, ""]))


if __name__ == "__main__":
    main()
