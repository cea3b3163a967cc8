"""A disk whose power is cut loses what was not synced, and nothing else. `tests/node/test_power.py` has the servers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from actors.commands.chaos.disks import NoDisk, PowerDisk, cut_power
from actors.commands.chaos.faults import Need
from actors.commands.chaos.servers import make_disks
from actors.commands.sandbox.servers.postgres import UNWRITTEN, PostgresServer
from tests.servers import data_directory, installed_postgres


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for disks."""
    path = data_directory()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def disk(place: Path) -> Iterator[PowerDisk]:
    """A disk mounted at place / "server"."""
    try:
        made = PowerDisk(place / "server")
    except NoDisk as why:
        pytest.skip(f"this machine has no disk whose power can be cut: {why}")
    yield made
    made.close()


def test_without_root_a_rehearsal_goes_on_and_says_what_it_lacks(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faults that need these disks are left out, with this sentence."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    disks, lacking = make_disks(place, ["postgres", "redis"], {Need.POWER_DISKS, Need.SMALL_DISK})

    assert disks == {}
    assert lacking == dict.fromkeys(
        (Need.SMALL_DISK, Need.POWER_DISKS), "a disk of its own for a server needs root on Linux"
    )
    assert list(place.iterdir()) == []


def write(path: Path, *, sync: bool) -> None:
    """Write a file."""
    with path.open("wb") as file:
        file.write(b"x" * 10_000)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def test_a_power_cut_loses_what_was_not_synced_and_nothing_else(disk: PowerDisk, place: Path) -> None:
    """Otherwise what survives it would prove nothing."""
    home = place / "server"
    write(home / "synced", sync=True)
    write(home / "unsynced", sync=False)

    disk.cut()
    with pytest.raises(OSError, match="Input/output"):
        write(home / "after", sync=True)
    disk.power_on()

    assert [path.name for path in home.iterdir() if path.is_file()] == ["synced"]
    assert (home / "synced").read_bytes() == b"x" * 10_000


async def test_a_postgres_that_syncs_nothing_loses_confirmed_commits(disk: PowerDisk, place: Path) -> None:
    """With the default `fsync = on` it loses none: the same cut tells the two apart."""
    server = PostgresServer(place / "server", binaries=installed_postgres(), settings=UNWRITTEN)
    await server.start()
    connection = await asyncpg.connect(server.dsn())
    await connection.execute("create table confirmed (n int)")
    await connection.execute("checkpoint")
    disk.sync()
    await connection.execute("insert into confirmed select generate_series(1, 100)")

    await cut_power([(server, disk)])
    connection.terminate()
    await server.start()
    connection = await asyncpg.connect(server.dsn())
    left = await connection.fetchval("select count(*) from confirmed")
    await connection.close()
    await server.stop()

    assert left == 0
