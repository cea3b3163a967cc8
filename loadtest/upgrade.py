"""Upgrades in the middle of a wave: nodes of an earlier revision, then the migrations, then a node of this one.

    python -m loadtest.upgrade --since v0.1.0 --greetings 5000

The code of the earlier revision comes from the repository's history (`git archive`) and makes its own schema. While
a wave leaves through two of its nodes, this version migrates the database and sends beside them. Then one old node is
drained, the other is killed, and this version sends the rest. Exit code 1: a greeting lost, twice or early, a
node that crashed or did not drain, or a version that sent nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import uvloop
from redis.asyncio import Redis

from actors.commands.sandbox.servers.postgres import create_database
from loadtest import crowd
from loadtest.bare import Figures
from loadtest.bench import Bench, bench
from loadtest.node_wave import POLL_INTERVAL, READY_IN, UNFINISHED

ROOT = Path(__file__).parents[1]

SETTINGS = {"HEYDAY_EMAIL_CONCURRENCY": "10", "HEYDAY_EMAIL_TIMEOUT": "5s", "HEYDAY_BIND": "127.0.0.1:0"}

LATENCY = 0.1
"""Seconds per call of the email service; with ten concurrent calls a node sends a hundred greetings per second."""

STEP_TIMEOUT = 300.0
"""Seconds for each step."""


async def measure(args: argparse.Namespace, tree: Path) -> Figures:
    """Upgrade from the code in `tree`, and compare database and email log. Raises TimeoutError."""
    async with bench() as running, AsyncExitStack() as stack:
        dsn = await _empty(running)
        environment = SETTINGS | {
            "HEYDAY_DATABASE_URL": dsn,
            "HEYDAY_REDIS_URL": running.servers.redis.url,
            "HEYDAY_EMAIL_URL": running.stub_url,
            **({} if running.servers.rabbitmq is None else {"HEYDAY_RABBITMQ_URL": running.servers.rabbitmq.url}),
        }
        log = running.servers.place / "nodes.log"
        await _migrate(tree, environment)
        connection = await asyncpg.connect(dsn)
        before = await connection.fetchval("select max(number) from schema_migrations")
        await crowd.users(connection, args.greetings)
        await running.behave(latency=LATENCY)
        old = [await stack.enter_async_context(_node(tree, environment, log, f"old-{n}")) for n in (1, 2)]
        await _until(connection, "select count(*) = 2 from nodes where ended_at is null")
        instant = datetime.now(UTC) + timedelta(seconds=READY_IN)
        await crowd.due(connection, args.greetings, instant)

        await _accepted(running, args.greetings // 5)
        await _migrate(ROOT, environment)
        await stack.enter_async_context(_node(ROOT, environment, log, "new-1"))
        await _until(connection, "select count(*) = 3 from nodes where ended_at is null")
        await _accepted(running, args.greetings * 2 // 5)
        old[0].terminate()
        drained = await asyncio.wait_for(old[0].wait(), STEP_TIMEOUT)
        await _accepted(running, args.greetings * 3 // 5)
        old[1].kill()
        await _until(connection, f"select not ({UNFINISHED})")

        stats = await running.stats()
        sent = await connection.fetch(
            "select split_part(node, '-', 1) as version, count(*) from attempts join nodes using (incarnation)"
            " where outcome = 'accepted' group by 1"
        )
        found = {
            "migrations": await connection.fetchval("select max(number) from schema_migrations") - before,
            "sentByOld": 0,
            "sentByNew": 0,
            **{f"sentBy{row['version'].title()}": row["count"] for row in sent},
            "notInOrder": float(drained != 0),
            "crashes": log.read_bytes().count(b'"actor_crashed"') + log.read_bytes().count(b'"node_crashed"'),
            "lost": args.greetings - stats["keys"],
            "notSent": await connection.fetchval("select count(*) from messages where status <> 'sent'"),
            "repeated": stats["duplicates"],
            "afterUnknown": await connection.fetchval("select count(*) from attempts where outcome = 'unknown'"),
            "early": sum(at < instant.timestamp() - 0.001 for at in await running.accepted_at()),
        }
        await connection.close()
    return found


async def _empty(running: Bench) -> str:
    async with Redis.from_url(running.servers.redis.url) as redis:
        await redis.flushall()
    name = f"bench_{uuid.uuid4().hex}"
    await create_database(running.servers.postgres.dsn("postgres"), name)
    return running.servers.postgres.dsn(name)


async def _migrate(tree: Path, environment: dict[str, str]) -> None:
    process = await _start(tree, environment, None, "migrate")
    if await asyncio.wait_for(process.wait(), STEP_TIMEOUT):
        raise RuntimeError(f"heyday migrate of {tree} failed")


@asynccontextmanager
async def _node(tree: Path, environment: dict[str, str], log: Path, name: str) -> AsyncIterator[Process]:
    process = await _start(tree, environment | {"HEYDAY_NODE_ID": name}, log, "run")
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _start(tree: Path, environment: dict[str, str], log: Path | None, command: str) -> Process:
    """Start `heyday <command>` with the code in `tree`; Python imports from its working directory first."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HEYDAY_", "PYTHON"))}
    with (log or Path(os.devnull)).open("ab") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "actors.cli", command, cwd=tree, env=inherited | environment, stderr=errors
        )


async def _until(connection: asyncpg.Connection[asyncpg.Record], question: str) -> None:
    async with asyncio.timeout(STEP_TIMEOUT):
        while not await connection.fetchval(question):
            await asyncio.sleep(POLL_INTERVAL)


async def _accepted(running: Bench, count: int) -> None:
    async with asyncio.timeout(STEP_TIMEOUT):
        while (await running.stats())["keys"] < count:
            await asyncio.sleep(POLL_INTERVAL)


def faults(found: Figures) -> list[str]:
    """Return the violated conditions as text."""
    never = ("notInOrder", "crashes", "lost", "notSent", "early")
    wrong = [f"{name}: {found[name]:.0f}" for name in never if found[name]]
    if found["repeated"] > found["afterUnknown"]:
        wrong.append(f"{found['repeated']:.0f} repeated calls after {found['afterUnknown']:.0f} unknown outcomes")
    return wrong + [f"{name}: nothing" for name in ("sentByOld", "sentByNew") if not found[name]]


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--since", required=True, help="the earlier revision: a tag, a branch, a commit")
    parser.add_argument("--greetings", type=int, default=5_000)
    args = parser.parse_args()
    archive = subprocess.run(
        ["git", "archive", "--format=tar", args.since],  # noqa: S607 - the installed git
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    with (
        tempfile.TemporaryDirectory(prefix="heyday-upgrade-") as tree,
        tarfile.open(fileobj=io.BytesIO(archive)) as tar,
    ):
        tar.extractall(tree, filter="data")
        found = uvloop.run(measure(args, Path(tree)))
    sys.stdout.write(
        "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value:.0f} |" for name, value in found.items()), ""])
    )
    if wrong := faults(found):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
