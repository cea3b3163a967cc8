"""What a killed parent leaves behind must not block, or harm, anybody."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from service.embedded import processes
from service.embedded.account import account_for
from service.embedded.postgres import UNWRITTEN, PostgresServer
from service.embedded.redis import RedisServer
from service.embedded.server import Server
from tests.embedded.looking import processes_of

PARENT = """
import asyncio, sys
from pathlib import Path
from service.embedded import processes
from service.embedded.postgres import PostgresServer, UNWRITTEN
from service.embedded.redis import RedisServer

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
    """kill -9 of heyday must not leave servers that nobody knows of."""
    await killed_parent(place, "with")

    members = [process for server in left_behind for process in processes_of(server)]

    assert await processes.outlasting(members, within=10) == []


@pytest.mark.parametrize("death_signal", ["with", "without"])
async def test_the_next_start_is_not_blocked_by_what_a_killed_parent_left(
    place: Path, left_behind: list[Server], death_signal: str
) -> None:
    """Orphans are stopped where the system does not end them, and half-ended ones are waited for."""
    await killed_parent(place, death_signal)
    orphans = [process for server in left_behind for process in processes_of(server)]

    for server in left_behind:
        await server.start()

    assert orphans or death_signal == "with"
    assert not any(processes.is_alive(process) for process in orphans)
    assert all(server.running for server in left_behind)


async def test_a_number_that_now_belongs_to_a_stranger_is_left_alone(place: Path, made: list[Server]) -> None:
    """Numbers of processes are used again, soon so in containers; the pid file of a crashed server then lies."""
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
    """The machine may run a PostgreSQL and a Redis that are not ours."""
    mine, other = RedisServer(place / "redis"), RedisServer(place / "redis-of-somebody-else")
    made += [mine, other]
    await other.start()
    await mine.start()

    await mine.kill()
    await mine.start()

    assert other.running


async def test_an_initialisation_that_was_cut_off_is_made_anew(place: Path, made: list[Server]) -> None:
    """A power cut during the first start must not leave a directory that never works again."""
    postgres = PostgresServer(place / "postgres", settings=UNWRITTEN)
    made.append(postgres)
    half = place / "postgres" / "data.unfinished"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    await postgres.start()

    assert postgres.running
    assert os.listdir(half.parent).count("data.unfinished") == 0
