"""Starts programs under measurement as processes, and reads their processor time and memory."""

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

from actors.commands.sandbox.servers.processes import death_signal_prefix
from loadtest.servers import Servers


@asynccontextmanager
async def program(
    module: str,
    *words: str,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
) -> AsyncIterator[Process]:
    """Run `python -m module words…` during the block; it also ends with this process, if the system can do that.

    It writes to `log`, else to this process's standard error. It gets the environment of this process without
    heyday's settings, plus the given one. `under` is a command that executes this one, such as one that sets a
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
    """Return the last word of the first line that it prints: its URL."""
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
    """Start a node with these settings, named without `HEYDAY_`, and defaults otherwise. Without `rabbitmq`, or
    if it is not installed, the delivery queue is a Redis stream."""
    given = {"DATABASE_URL": dsn, "REDIS_URL": servers.redis.url, **settings}
    if rabbitmq and servers.rabbitmq is not None:
        given["RABBITMQ_URL"] = servers.rabbitmq.url
    environment = {f"HEYDAY_{name}": value for name, value in given.items()}
    return program(module, "run", log=log, environment=environment, under=under)


def cpu(*pids: int) -> float:
    """Return the seconds of processor time of the processes and all their descendants, also of ended ones."""
    used = 0.0
    for pid in pids:
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            try:
                used += sum(process.cpu_times()[:4])
            except psutil.NoSuchProcess:  # it has just ended; its parent has its time
                continue
    return used


def peak_memory(pid: int) -> float:
    """Return the peak memory of the process in MiB (VmHWM), which includes moments between readings."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"{pid} has ended")


def memory(pid: int) -> int:
    """Return the resident memory of the process in bytes."""
    size: int = psutil.Process(pid).memory_info().rss
    return size
