"""Servers that a killed parent leaves must not block the next start, and no other process is harmed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from actors.commands.sandbox.servers import processes
from actors.commands.sandbox.servers.account import account_for
from actors.commands.sandbox.servers.postgres import UNWRITTEN, PostgresServer
from actors.commands.sandbox.servers.redis import RedisServer
from actors.commands.sandbox.servers.server import Server
from tests.actors.commands.sandbox.looking import processes_of

PARENT = """
import asyncio, sys
from pathlib import Path
from actors.commands.sandbox.servers import processes
from actors.commands.sandbox.servers.postgres import PostgresServer, UNWRITTEN
from actors.commands.sandbox.servers.redis import RedisServer

async def main(place):
    for server in PostgresServer(place / "postgres", settings=UNWRITTEN), RedisServer(place / "redis"):
        await server.start()
    print("started", flush=True)
    await asyncio.sleep(100)

if sys.argv[2] == "without":
    processes.death_signal_prefix = lambda number: ()
asyncio.run(main(Path(sys.argv[1])))
"""


async def killed_parent(place: Path, death_signal: str) -> None:
    """Run a process that starts PostgreSQL and Redis in `place`, and kill it when both answer."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(place), death_signal, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"started\n"
    parent.kill()
    await parent.communicate()


@pytest.fixture
def left_behind(place: Path, made: list[Server]) -> list[Server]:
    """Servers in the directories that the killed parent used."""
    made += [PostgresServer(place / "postgres", settings=UNWRITTEN), RedisServer(place / "redis")]
    return made


@pytest.mark.skipif(not processes.death_signal_prefix(signal.SIGTERM), reason="the system has no death signal")
async def test_servers_end_with_a_parent_that_is_killed(place: Path, left_behind: list[Server]) -> None:
    """kill -9 of heyday must not leave unknown servers."""
    await killed_parent(place, "with")

    members = [process for server in left_behind for process in processes_of(server)]

    assert await processes.outlasting(members, within=10) == []


@pytest.mark.parametrize("death_signal", ["with", "without"])
async def test_the_next_start_is_not_blocked_by_orphans(
    place: Path, left_behind: list[Server], death_signal: str
) -> None:
    """Orphans are ended where the system does not end them, also those that are ending already."""
    await killed_parent(place, death_signal)
    orphans = [process for server in left_behind for process in processes_of(server)]

    for server in left_behind:
        await server.start()

    assert orphans or death_signal == "with"
    assert not any(processes.is_alive(process) for process in orphans)
    assert all(server.running for server in left_behind)


async def test_a_process_with_a_reused_id_is_left_alone(place: Path, made: list[Server]) -> None:
    """Process ids are reused, soon in containers: the pid file of a crashed server may name another process."""
    postgres = PostgresServer(place / "postgres", settings=UNWRITTEN)
    made.append(postgres)
    await postgres.start()
    await postgres.kill()
    account = account_for(place / "postgres")
    stranger = await asyncio.create_subprocess_exec(
        "sleep", "100", user=account.user, group=account.group, extra_groups=account.groups
    )
    pid_file = place / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines(keepends=True)
    pid_file.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))

    await postgres.start()

    connection = await asyncpg.connect(postgres.dsn())
    await connection.close()
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def test_servers_of_other_directories_are_left_alone(place: Path, made: list[Server]) -> None:
    """The machine may run another PostgreSQL and another Redis."""
    mine, other = RedisServer(place / "redis"), RedisServer(place / "redis-of-somebody-else")
    made += [mine, other]
    await other.start()
    await mine.start()

    await mine.kill()
    await mine.start()

    assert other.running


async def test_an_interrupted_initialisation_is_repeated(place: Path, made: list[Server]) -> None:
    """A power cut during the first start must not leave a directory that never works again."""
    postgres = PostgresServer(place / "postgres", settings=UNWRITTEN)
    made.append(postgres)
    half = place / "postgres" / "data.unfinished"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    await postgres.start()

    assert postgres.running
    assert os.listdir(half.parent).count("data.unfinished") == 0
