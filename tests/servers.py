"""The real servers that tests run against, found in this order: containers, installed programs, apt, wheels.

Nothing is started here before a test asks for it, and what a test has killed runs again for the next one.
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

from service.embedded.postgres import UNWRITTEN, PostgresServer
from service.embedded.rabbitmq import RabbitMQServer, installed_sbin
from service.embedded.redis import RedisServer
from tests.containers import containers_of_every_server, docker_answers

POSTGRES_SETTINGS = UNWRITTEN | {"max_connections": "200", "shared_buffers": "64MB"}


class RealServer(Protocol):
    """A server that a test may stop, kill and start again; it keeps its address and its data."""

    @property
    def running(self) -> bool:
        """Whether its process lives."""

    async def start(self) -> None:
        """Start it and return when it answers; nothing happens when it runs."""

    async def stop(self) -> None:
        """Let it end in order."""

    async def kill(self) -> None:
        """End it at once, as a power cut would."""

    async def restart(self) -> None:
        """Stop and start."""


class Postgres(RealServer, Protocol):
    """A PostgreSQL whose user may do everything."""

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
        """Start those that do not run, all at once."""
        await asyncio.gather(*(server.start() for server in servers or self.all if not server.running))

    async def close(self) -> None:
        """Stop everything and delete what it wrote."""
        await asyncio.gather(*(server.kill() for server in self.all))
        self.dispose()


@cache
def find_servers() -> Servers:
    """The servers of this machine, none of them started yet."""
    if docker_answers() and (containers := containers_of_every_server()):
        return Servers(*containers)
    directory = Path(tempfile.mkdtemp(prefix="heyday-tests-"))
    directory.chmod(0o711)  # the account that servers run as when we are root has to pass
    programs = _installed_by_the_first()
    return Servers(
        PostgresServer(directory / "postgres", binaries=programs.postgres, settings=POSTGRES_SETTINGS),
        RedisServer(directory / "redis", executable=programs.redis),
        RabbitMQServer(directory / "rabbitmq", sbin=programs.rabbitmq),
        dispose=lambda: shutil.rmtree(directory, ignore_errors=True),
    )


def _installed_by_the_first() -> Programs:
    with one_process_at_a_time():
        programs = _installed()
        missing = not programs.complete
        return (
            _installed() if missing and install_with_apt("postgresql", "redis-server", "rabbitmq-server") else programs
        )


@contextmanager
def one_process_at_a_time() -> Iterator[None]:
    """Of several processes that run tests one installs, and the others wait for it."""
    with (Path(tempfile.gettempdir()) / f"heyday-tests-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Programs:
    """Where the programs of installed servers are; None where there are none."""

    postgres: Path | None
    redis: Path | None
    rabbitmq: Path | None

    @property
    def complete(self) -> bool:
        """Whether all three are there."""
        return None not in {self.postgres, self.redis, self.rabbitmq}


def _installed() -> Programs:
    on_path = shutil.which("initdb")
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/").glob("usr/pgsql-*/bin")]
    folders.sort(key=lambda folder: [int(digits) for digits in folder.parent.name.split("-") if digits.isdigit()])
    postgres = next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)
    redis = shutil.which("redis-server") or shutil.which("valkey-server")
    return Programs(
        postgres or (Path(on_path).parent if on_path else None), Path(redis) if redis else None, installed_sbin()
    )


def install_with_apt(*packages: str) -> bool:
    """Install where that is ours to do: as root, on Debian and its relatives. Says whether it was done."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    for command in (["apt-get", "update"], install):
        if subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode != 0:
            return False
    return True
