"""A node as its operator sees it: `heyday run --rehearsal` as a process with an environment, a log and an exit code."""

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

from service.embedded import processes
from service.embedded.account import Account
from service.embedded.errors import ServerFailed

READY_WITHIN = 30.0
"""Seconds until a node has to be ready."""

DRAIN_WITHIN = 8.0
"""Seconds for its drain, unless said otherwise: its own deadline is shorter."""

PATIENCE = 10.0
"""Seconds between two starts of a node that keeps ending."""

INTERPRETERS = frozenset({Path(sys.executable).name, Path(sys.executable).resolve().name, "Python"})
"""Names under which the system may list it."""

COMMAND = ("-m", "actors.cli", "run", "--rehearsal")


class NodeProcess:
    """A node that works in `directory`, writes to `log` and has these settings.

    Entered: it is ready. Left: it is drained, or killed when that takes too long or haste is asked for.
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
        """The base of its API."""
        return f"http://{self._settings['HEYDAY_BIND']}"

    @property
    def pid(self) -> int | None:
        """The number of its process; None while there is none."""
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
        """Start the process; it need not be ready yet."""
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
        """Wait until it says that it is ready. Raises ServerFailed when it is not in time, or has ended."""
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
        """Start it again if it has ended, though not over and over: somebody may have killed it to see what happens."""
        if self.pid is None and time.monotonic() - self._started_at > PATIENCE:
            self.restarts += 1
            self.start()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    async def drain(self, *, within: float | None = None) -> bool:
        """End it in order, and say whether that is how it ended; it is killed after `within` seconds, or in haste."""
        try:
            if self._process is not None and self.pid is not None:
                family = processes.family([self._process])
                await processes.end(family, farewell=signal.SIGTERM, within=within or DRAIN_WITHIN)
                self.drained = self._process.wait() == 0
        finally:
            self.kill()
        return self.drained

    def kill(self) -> None:
        """End it as a power cut would, also while it is stopped."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _failed(self, reason: str) -> ServerFailed:
        written = self.log.read_text(errors="replace").splitlines()[-10:]
        return ServerFailed("the node", reason, "\n".join(written))


async def end_left_behind(directory: Path) -> None:
    """End the node that works there since a demo that was killed, where the system does not end it with that."""
    strays = processes.strays(directory, INTERPRETERS)
    await processes.kill([process for process in strays if COMMAND[1] in process.cmdline()])
