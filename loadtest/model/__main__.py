"""Soaks two nodes against the model, on servers of its own.

    python -m loadtest.model --minutes 60 --seed 7

Exit code 1 after a greeting that must not be, after a missing one, and after a run without any greeting.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import AsyncExitStack

import asyncpg
import uvloop

from actors.commands.rehearsal.node_process import NodeProcess
from actors.commands.sandbox.email_stub import StubOptions, serve
from actors.commands.sandbox.servers.clock import run_clock
from actors.commands.sandbox.servers.ports import LOOPBACK, free_port
from loadtest import servers
from loadtest.model.soak import BEGIN, Findings, Soak

SETTINGS = {
    "HEYDAY_RATE_LIMIT": "off",
    "HEYDAY_EMAIL_TIMEOUT": "2s",
    "HEYDAY_EMAIL_BACKOFF": "50ms",
    "HEYDAY_EMAIL_BACKOFF_LIMIT": "500ms",
    "HEYDAY_EMAIL_ATTEMPTS": "5",
    "HEYDAY_CIRCUIT_RESET": "300ms",
    "HEYDAY_LOG_LEVEL": "warning",
}
"""Short waits, so that a round takes seconds."""


async def soak(*, minutes: float, seed: int, nodes: int) -> Findings:
    """Run for so many minutes, counted from when the nodes are ready."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(servers.running(rabbitmq=True))
        dsn = await running.database()
        connection = await asyncpg.connect(dsn)
        stack.push_async_callback(connection.close)
        await run_clock(connection, at=BEGIN)
        stub = await serve(LOOPBACK, 0, StubOptions(seed=seed))
        stack.push_async_callback(stub.close)
        given = {
            **SETTINGS,
            "HEYDAY_DATABASE_URL": dsn,
            "HEYDAY_REDIS_URL": running.redis.url,
            "HEYDAY_EMAIL_URL": stub.url,
            **({"HEYDAY_RABBITMQ_URL": running.rabbitmq.url} if running.rabbitmq else {}),
        }
        started = [
            NodeProcess(
                running.place,
                running.place / f"node-{number}.log",
                given | {"HEYDAY_BIND": f"{LOOPBACK}:{free_port()}"},
            )
            for number in range(nodes)
        ]
        for node in started:
            await stack.enter_async_context(node)
        ends = time.monotonic() + minutes * 60
        return await Soak([node.url for node in started], stub, lambda at: run_clock(connection, at=at), seed=seed).run(
            until=lambda _: time.monotonic() > ends
        )


def main() -> int:
    """Soak, and print what was done and found."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.model", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=2)
    args = parser.parse_args()
    found = uvloop.run(soak(minutes=args.minutes, seed=args.seed, nodes=args.nodes))
    edits = ", ".join(f"{count} {name}" for name, count in found.edits.most_common())
    sys.stdout.write(f"{found.rounds} rounds, {found.greetings} greetings; {edits}\n")
    sys.stdout.writelines(f"{line}\n" for line in found.wrong)
    if not found.greetings:
        sys.stdout.write("no greeting left, so nothing was shown: run it for longer\n")
    return 1 if found.wrong or not found.greetings else 0


if __name__ == "__main__":
    sys.exit(main())
