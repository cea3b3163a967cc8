"""Redis processes with the settings of a test: primaries, replicas, sentinels and nodes of a Redis Cluster."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from actors.commands.sandbox.servers.ports import CANDIDATES, LOOPBACK, free_port, is_free
from tests.servers import install_with_apt

PASSWORD = "sesame"

CLUSTER_BUS = 10_000
"""The port of the cluster bus is so far above that of clients."""


_taken: set[int] = set()
"""Ports of members that may not listen yet."""


def _port(*, cluster: bool) -> int:
    """A free port. The bus of a cluster must not be in the range of outgoing connections, which may have it."""
    while True:
        port = free_port()
        ports = {port, port + CLUSTER_BUS} if cluster else {port}
        if cluster and not (port + CLUSTER_BUS in CANDIDATES and is_free(port + CLUSTER_BUS)):
            continue
        if _taken.isdisjoint(ports):
            _taken.update(ports)
            return port


def program() -> str:
    """The installed server program, which can also run as a sentinel."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None and install_with_apt("redis-server"):
        found = shutil.which("redis-server")
    assert found is not None, "redis-server is not installed: apt-get install redis-server"
    return found


class Member:
    """One process, reached by `client`."""

    def __init__(self, directory: Path, *lines: str, sentinel: bool = False) -> None:
        self.port = _port(cluster="cluster-enabled yes" in lines)
        directory.mkdir(parents=True)
        file = directory / "redis.conf"
        settings = (f"port {self.port}", f"bind {LOOPBACK}", f"dir {directory}", 'save ""', *lines)
        file.write_text("\n".join(settings) + "\n", encoding="utf-8")
        self._command = [program(), str(file), *(["--sentinel"] if sentinel else [])]
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.client = Redis(
            host=LOOPBACK, port=self.port, password=None if sentinel else PASSWORD, decode_responses=True, protocol=2
        )
        self.client.response_callbacks.clear()  # replies as they are, to be searched for words

    async def start(self) -> None:
        """Start it and return when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)  # noqa: ASYNC220 -- it is quick
        async with asyncio.timeout(120):
            while True:
                with suppress(RedisError, OSError):
                    await self.client.ping()
                    return
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def running(*members: Member) -> AsyncIterator[None]:
    """Start the members in order, and end them afterwards."""
    try:
        for member in members:
            await member.start()
        yield
    finally:
        for member in members:
            member.kill()
            await member.client.aclose()


async def until(condition: str, member: Member, *words: str, within: float = 30.0) -> None:
    """Return when the reply of `member` to a command contains `condition`. Redis has no event for it."""
    async with asyncio.timeout(within):
        while True:
            reply: object = await member.client.execute_command(*words)  # type: ignore[no-untyped-call]
            if condition in str(reply):
                return
            await asyncio.sleep(0.05)


SERVERS = ("appendonly no", f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", "repl-diskless-sync-delay 0")


def sentinel_of(primary: Member, directory: Path) -> Member:
    return Member(
        directory,
        f"sentinel monitor greetings 127.0.0.1 {primary.port} 2",
        f"sentinel auth-pass greetings {PASSWORD}",
        "sentinel down-after-milliseconds greetings 3000",
        "sentinel failover-timeout greetings 2000",
        sentinel=True,
    )


class Group:
    """A primary with a replica and three sentinels."""

    def __init__(self, directory: Path) -> None:
        self.primary = Member(directory / "one", *SERVERS)
        self.replica = Member(directory / "two", *SERVERS, f"replicaof 127.0.0.1 {self.primary.port}")
        self.sentinels = [sentinel_of(self.primary, directory / f"sentinel-{number}") for number in range(3)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/greetings/0"

    async def settled(self) -> None:
        """Return when replica and sentinels know each other."""
        await until("master_link_status:up", self.replica, "INFO", "replication")
        for one in self.sentinels:
            await until("'num-other-sentinels', '2'", one, "SENTINEL", "MASTER", "greetings")
            await until(str(self.replica.port), one, "SENTINEL", "REPLICAS", "greetings")
