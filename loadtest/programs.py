"""Programs under measurement, each in a process of its own: what they are told, and what they use."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

from loadtest.servers import Servers
from service.embedded.processes import death_signal_prefix


@asynccontextmanager
async def program(
    module: str,
    *words: str,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
) -> AsyncIterator[Process]:
    """`python -m module words…`, ended with the block, and with us however we end, where the system offers that.

    It writes what it has to say to `log`, else to our own standard error. Of our environment it gets everything but
    heyday's settings, and what is given here. `under` is a command that becomes this one, such as one that sets a
    limit first.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEYDAY_")}
    errors = None if log is None else log.open("ab")
    process = await asyncio.create_subprocess_exec(
        *death_signal_prefix(signal.SIGTERM), *under, sys.executable, "-m", module, *words,
        env=inherited | dict(environment or {}), stdout=asyncio.subprocess.PIPE, stderr=errors,
    )  # fmt: skip
    if errors is not None:
        errors.close()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def last_word(process: Process) -> str:
    """The last word of the first line that it prints: where it listens."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().split()[-1]


def node(
    servers: Servers,
    dsn: str,
    settings: Mapping[str, str],
    *,
    rabbitmq: bool = True,
    log: Path | None = None,
    under: Sequence[str] = (),
    module: str = "actors.cli",
) -> AbstractAsyncContextManager[Process]:
    """A node of heyday with its defaults but for these settings, named without their `HEYDAY_`. Without `rabbitmq`, or
    where it is not installed, its delivery queue is a Redis stream."""
    given = {"DATABASE_URL": dsn, "REDIS_URL": servers.redis.url, **settings}
    if rabbitmq and servers.rabbitmq is not None:
        given["RABBITMQ_URL"] = servers.rabbitmq.url
    environment = {f"HEYDAY_{name}": value for name, value in given.items()}
    return program(module, "run", log=log, environment=environment, under=under)


def cpu(*pids: int) -> float:
    """Seconds of processor time that the processes and all their descendants have used, the ended ones included."""
    used = 0.0
    for pid in pids:
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            try:
                used += sum(process.cpu_times()[:4])
            except psutil.NoSuchProcess:  # it ended just now: its parent has its time
                continue
    return used


def peak_memory(pid: int) -> float:
    """MiB that the process has had at most (VmHWM): every moment counts, not only those at which somebody looked."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"{pid} has ended")


def memory(pid: int) -> int:
    """Bytes of memory that the process has (resident set)."""
    size: int = psutil.Process(pid).memory_info().rss
    return size
