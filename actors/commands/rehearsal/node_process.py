"""Runs `heyday run --rehearsal` as a process with an environment, a log and an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from actors.commands.sandbox.servers import processes
from actors.commands.sandbox.servers.account import Account
from actors.commands.sandbox.servers.errors import ServerFailed

READY_WITHIN = 30.0
"""Seconds until a node must be ready."""

DRAIN_WITHIN = 8.0
"""Seconds for its drain by default. The deadline of the node itself is shorter."""

RESTART_INTERVAL = 10.0
"""Least seconds between two starts of a node that keeps ending."""

INTERPRETERS = frozenset({Path(sys.executable).name, Path(sys.executable).resolve().name, "Python"})
"""Process names that the interpreter may have."""

COMMAND = ("-m", "actors.cli", "run", "--rehearsal")


class NodeProcess:
    """A node with working directory, log file and settings.

    Entered: it is ready. Left: it is drained, or killed if that takes too long or is cancelled.
    """

    def __init__(self, directory: Path, log: Path, settings: Mapping[str, str]) -> None:
        self.log = log
        self._directory = directory
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self.restarts = 0
        self.drained = False

    @property
    def url(self) -> str:
        """The base URL of its API."""
        return f"http://{self._settings['HEYDAY_BIND']}"

    @property
    def pid(self) -> int | None:
        """The id of its process. None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    async def __aenter__(self) -> Self:
        try:
            self.start()
            await self.ready()
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()

    def start(self) -> None:
        """Start the process, without waiting until it is ready."""
        self._started_at = time.monotonic()
        environment = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        self._process = processes.spawn(
            [sys.executable, "-P", *COMMAND],
            directory=self._directory,
            log=self.log,
            account=Account(os.geteuid(), os.getegid()),
            environment=environment | self._settings,
            farewell=signal.SIGTERM,
        )

    async def ready(self, *, within: float = READY_WITHIN) -> None:
        """Wait until it is ready. Raises ServerFailed if it is not ready in time, or has ended."""
        try:
            async with aiohttp.ClientSession() as session, asyncio.timeout(within):
                while self.pid is not None:
                    with suppress(aiohttp.ClientError):
                        async with session.get(f"{self.url}/health/ready") as response:
                            if response.status == 200:
                                return
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise self._failed(f"was not ready within {within:g} s") from error
        raise self._failed("ended instead of starting")

    def look_after(self) -> None:
        """Start it again if it has ended, but not too often."""
        if self.pid is None and time.monotonic() - self._started_at > RESTART_INTERVAL:
            self.restarts += 1
            self.start()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    async def drain(self, *, within: float | None = None) -> bool:
        """Drain it. True if it ended in order. It is killed after `within` seconds, or if this is cancelled."""
        try:
            if self._process is not None and self.pid is not None:
                family = processes.family([self._process])
                await processes.end(family, farewell=signal.SIGTERM, within=within or DRAIN_WITHIN)
                self.drained = self._process.wait() == 0
        finally:
            self.kill()
        return self.drained

    def kill(self) -> None:
        """Kill it, also while it is stopped."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _failed(self, reason: str) -> ServerFailed:
        written = self.log.read_text(errors="replace").splitlines()[-10:]
        return ServerFailed("the node", reason, "\n".join(written))


async def end_left_behind(directory: Path) -> None:
    """Kill a node that a killed demo left in this directory."""
    strays = processes.strays(directory, INTERPRETERS)
    await processes.kill([process for process in strays if COMMAND[1] in process.cmdline()])
