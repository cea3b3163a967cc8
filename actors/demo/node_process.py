"""The demo's node: `heyday run --rehearsal` as a process of its own, which is started again should it end."""

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

from actors.demo.place import Place
from service.embedded import processes
from service.embedded.account import Account
from service.embedded.errors import ServerFailed

READY_WITHIN = 30.0
"""Seconds until the node has to be ready."""

DRAIN_WITHIN = 8.0
"""Seconds for its drain: its own deadline is shorter."""

PATIENCE = 10.0
"""Seconds between two starts of a node that keeps ending."""

INTERPRETERS = frozenset({Path(sys.executable).name, Path(sys.executable).resolve().name, "Python"})
"""Names under which the system may list it."""

COMMAND = ("-m", "actors.cli", "run", "--rehearsal")


class NodeProcess:
    """Entered: it is ready. Left: it is drained, or killed when that takes too long or haste is asked for."""

    def __init__(self, place: Place, settings: Mapping[str, str]) -> None:
        self._place = place
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
            self._place.begin_log()
            self._start()
            await self._ready()
        except BaseException:
            self._kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._process is not None and self.pid is not None:
                family = processes.family([self._process])
                await processes.end(family, farewell=signal.SIGTERM, within=DRAIN_WITHIN)
                self.drained = self._process.wait() == 0
        finally:
            self._kill()

    def look_after(self) -> None:
        """Start it again if it has ended, though not over and over: somebody may have killed it to see what happens."""
        if self.pid is None and time.monotonic() - self._started_at > PATIENCE:
            self.restarts += 1
            self._start()

    def _start(self) -> None:
        self._started_at = time.monotonic()
        environment = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        self._process = processes.spawn(
            [sys.executable, "-P", *COMMAND],
            directory=self._place.path,
            log=self._place.log,
            account=Account(os.geteuid(), os.getegid()),
            environment=environment | self._settings,
            farewell=signal.SIGTERM,
        )

    async def _ready(self) -> None:
        try:
            async with aiohttp.ClientSession() as session, asyncio.timeout(READY_WITHIN):
                while self.pid is not None:
                    with suppress(aiohttp.ClientError):
                        async with session.get(f"{self.url}/health/ready") as response:
                            if response.status == 200:
                                return
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise self._failed(f"was not ready within {READY_WITHIN:g} s") from error
        raise self._failed("ended instead of starting")

    def _failed(self, reason: str) -> ServerFailed:
        written = self._place.log.read_text(errors="replace").splitlines()[-10:]
        return ServerFailed("the node", reason, "\n".join(written))

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


async def end_left_behind(place: Place) -> None:
    """End the node of a demo that was killed, where the system does not end it with that."""
    strays = processes.strays(place.path, INTERPRETERS)
    await processes.kill([process for process in strays if COMMAND[1] in process.cmdline()])
