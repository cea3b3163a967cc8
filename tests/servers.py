"""Finds the real servers for tests, in this order: containers, installed programs, apt, wheels.

A server starts when a test needs it. A server that a test has killed is started again for the next test.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from actors.commands.sandbox.servers.postgres import UNWRITTEN, PostgresServer
from actors.commands.sandbox.servers.rabbitmq import RabbitMQServer, installed_sbin
from actors.commands.sandbox.servers.redis import RedisServer
from tests.containers import containers_of_every_server, docker_answers

MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 2 * 1024**3
"""Free bytes of MEMORY from which on the servers keep their data there: several times what the tests write."""

PREFIX = "heyday-tests-"

POSTGRES_VARIABLE = "HEYDAY_TEST_POSTGRES"
"""The environment variable with the folder of the `initdb` and `postgres` to test with, such as another version."""

POSTGRES_SETTINGS = UNWRITTEN | {
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Below its data, which is removed. A PostgreSQL that is killed leaves POSIX shared memory until the machine
    # restarts: 1 MB for each run of a test process.
    "dynamic_shared_memory_type": "mmap",
}


class RealServer(Protocol):
    """A server that a test may stop, kill and start again; it keeps its address and its data."""

    @property
    def running(self) -> bool:
        """True while its process lives."""

    async def start(self) -> None:
        """Start it and return when it answers; do nothing if it runs."""

    async def stop(self) -> None:
        """Stop it in order."""

    async def kill(self) -> None:
        """End it at once, like a power failure."""

    async def restart(self) -> None:
        """Stop and start."""


class Postgres(RealServer, Protocol):
    """A PostgreSQL with a superuser."""

    def dsn(self, database: str = ...) -> str:
        """The URL of a database."""


class Addressed(RealServer, Protocol):
    """A Redis or a RabbitMQ."""

    @property
    def url(self) -> str:
        """Where clients connect."""


@dataclass(frozen=True)
class Servers:
    """The three servers of a test session."""

    postgres: Postgres
    redis: Addressed
    rabbitmq: Addressed
    dispose: Callable[[], None] = lambda: None

    @property
    def all(self) -> tuple[RealServer, RealServer, RealServer]:
        """Every server."""
        return self.postgres, self.redis, self.rabbitmq

    async def start(self, servers: Iterable[RealServer] | None = None) -> None:
        """Start the servers that do not run, concurrently."""
        await asyncio.gather(*(server.start() for server in servers or self.all if not server.running))

    async def close(self) -> None:
        """Stop all servers and delete their data."""
        await asyncio.gather(*(server.kill() for server in self.all))
        self.dispose()


@cache
def find_servers() -> Servers:
    """Return the servers of this machine, not started."""
    if POSTGRES_VARIABLE not in os.environ and docker_answers() and (containers := containers_of_every_server()):
        return Servers(*containers)
    directory = data_directory()
    programs = _installed_by_the_first()
    return Servers(
        PostgresServer(directory / "postgres", binaries=programs.postgres, settings=POSTGRES_SETTINGS),
        RedisServer(directory / "redis", executable=programs.redis),
        RabbitMQServer(directory / "rabbitmq", sbin=programs.rabbitmq),
        dispose=lambda: shutil.rmtree(directory, ignore_errors=True),
    )


def data_directory() -> Path:
    """Return a new directory for the data of servers, in memory if there is room.

    In memory, a new database for a test takes a fifth of the system time: 300 files are made and removed.
    """
    in_memory = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    if in_memory:
        for left_over in MEMORY.glob(f"{PREFIX}*"):
            if not Path(f"/proc/{left_over.name.split('-')[2]}").exists():
                shutil.rmtree(left_over, ignore_errors=True)  # its test process was killed
        in_memory = shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=MEMORY if in_memory else None))
    directory.chmod(0o711)  # as root, the servers' account must have access
    return directory


def _installed_by_the_first() -> Programs:
    with one_process_at_a_time():
        programs = _installed()
        missing = not programs.complete
        return (
            _installed() if missing and install_with_apt("postgresql", "redis-server", "rabbitmq-server") else programs
        )


@contextmanager
def one_process_at_a_time() -> Iterator[None]:
    """Let one of several test processes install, while the others wait."""
    with (Path(tempfile.gettempdir()) / f"heyday-tests-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Programs:
    """Paths of the installed servers' programs; None if missing."""

    postgres: Path | None
    redis: Path | None
    rabbitmq: Path | None

    @property
    def complete(self) -> bool:
        """True if all three are installed."""
        return None not in {self.postgres, self.redis, self.rabbitmq}


def _installed() -> Programs:
    redis = shutil.which("redis-server") or shutil.which("valkey-server")
    return Programs(_postgres(), Path(redis) if redis else None, installed_sbin())


def _postgres() -> Path | None:
    """The folder that POSTGRES_VARIABLE names, or else that of the newest installed version."""
    if chosen := os.environ.get(POSTGRES_VARIABLE):
        return Path(chosen)
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/").glob("usr/pgsql-*/bin")]
    folders.sort(key=lambda folder: [int(digits) for digits in folder.parent.name.split("-") if digits.isdigit()])
    on_path = shutil.which("initdb")
    newest = next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)
    return newest or (Path(on_path).parent if on_path else None)


def installed_postgres() -> Path | None:
    """The folder of the programs of an installed PostgreSQL. None if missing; the wheel is used then."""
    return _installed().postgres


def install_with_apt(*packages: str) -> bool:
    """Install packages as root on Debian and its derivatives; return True if it was done."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    for command in (["apt-get", "update"], install):
        if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            return False
    return True
