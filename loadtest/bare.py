"""The bare loop: fetch, call, one bulk UPDATE. An upper bound for one process, with nothing durable in between."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime

import aiohttp
import asyncpg

from loadtest import crowd
from loadtest.bench import Bench
from loadtest.cases import Case

CALL_WITHIN = aiohttp.ClientTimeout(total=60)

Figures = dict[str, float]


async def wave(bench: Bench, case: Case) -> Figures:
    """Make the calls of the case from this process; repeat each at once until it is accepted."""
    async with bench.database() as dsn:
        connection = await asyncpg.connect(dsn)
        await crowd.users(connection, case.greetings)
        await crowd.due(connection, case.greetings, datetime.now(UTC))
        await bench.behave(latency=case.latency, error_rate=case.error_rate)
        used, servers, began = time.process_time(), bench.server_cpu(), time.perf_counter()
        await _send(connection, f"{bench.stub_url}/send-email", case.in_flight)
        took, used = time.perf_counter() - began, time.process_time() - used
        shares = {name: seconds - servers[name] for name, seconds in bench.server_cpu().items()}
        await connection.close()
    return {
        "perSecond": case.greetings / took,
        "nodeMicroseconds": used / case.greetings * 1e6,
        **{f"{name}Microseconds": seconds / case.greetings * 1e6 for name, seconds in shares.items()},
    }


async def _send(connection: asyncpg.Connection[asyncpg.Record], url: str, in_flight: int) -> None:
    rows = await connection.fetch("select m.id, u.email, u.last_name from messages m join users u on u.id = m.user_id")
    places = asyncio.Semaphore(in_flight)
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, timeout=CALL_WITHIN) as http:

        async def call(row: asyncpg.Record) -> None:
            body = json.dumps({"email": row["email"], "message": f"Hey, Ada {row['last_name']} it's your birthday"})
            headers = {"Content-Type": "application/json", "Idempotency-Key": str(row["id"])}
            async with places:
                accepted = False
                while not accepted:
                    async with http.post(url, data=body, headers=headers) as response:
                        await response.read()
                        accepted = response.ok

        await asyncio.gather(*map(call, rows))
    await connection.execute(
        "update messages set status = 'sent', attempt = 1, ended_at = now() where id = any($1::uuid[])",
        [row["id"] for row in rows],
    )
