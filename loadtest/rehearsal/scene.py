"""The servers, the nodes and the Prometheus of a rehearsal, and the person who follows the runbook there."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from actors.commands.chaos.configuration import configure
from actors.commands.chaos.environment import Environment
from actors.commands.chaos.fleet import Slot
from actors.commands.chaos.options import ChaosOptions
from actors.commands.chaos.setup import set_up
from loadtest import crowd
from loadtest.observe.prometheus import PrometheusServer
from loadtest.rehearsal.runbook import RULES, shorter

SETTINGS = {"HEYDAY_UNKNOWN_OUTCOME": "hold", "HEYDAY_EMAIL_CONCURRENCY": "20"}
"""Settings of the nodes. A message of unknown outcome waits for a person."""

PEOPLE = 60_000
"""Users without dates. Each is greeted at most once."""

TRICKLE = 5
"""Greetings that become due in each second, so that there is always work."""

READY_WITHIN = 60.0
"""Seconds until Prometheus sees every node."""

COMMAND_WITHIN = 120.0
"""Seconds for one command of the runbook."""

MAY_SAY_NO = ("heyday doctor", "heyday health", "heyday call /health", "heyday call POST /api/v1/jobs/daily:run")
"""Commands that end with exit code 1 while something is not well."""


class CommandFailed(Exception):
    """A command of the runbook did not work."""


class Scene:
    """A running environment, and Prometheus."""

    def __init__(self, environment: Environment, prometheus: PrometheusServer, folder: Path) -> None:
        self.environment = environment
        self.prometheus = prometheus
        self.folder = folder
        self._nodes = environment.fleet.slots[0]
        self._greeted = 0

    @property
    def slots(self) -> list[Slot]:
        """The places of the nodes."""
        return self.environment.fleet.slots

    async def greet(self, number: int, *, at: datetime | None = None) -> None:
        """Let that many greetings become due at an instant, by default in a second."""
        connection = await asyncpg.connect(self.environment.servers.database_url, timeout=5, command_timeout=30)
        try:
            since, self._greeted = self._greeted + 1, self._greeted + number
            await crowd.due(connection, number, at or datetime.now(UTC) + timedelta(seconds=1), since=since)
        finally:
            await connection.close()

    async def trickle(self) -> None:
        """Let some greetings become due in every second, until cancelled. PostgreSQL may be away meanwhile."""
        while True:
            with suppress(OSError, asyncpg.PostgresError, TimeoutError):
                await self.greet(TRICKLE)
            await asyncio.sleep(1)

    def answer(self, **options: Any) -> None:
        """Change the options of the fake email service."""
        self.environment.stub.change(self.environment.stub.options.changed(options))

    async def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        now = time.time()
        found = await self.prometheus.query('ALERTS{alertstate="firing"}', since=now, until=now)
        return {series.labels["alertname"] for series in found}

    async def until(self, alert: str, *, fires: bool, within: float) -> float | None:
        """Wait until the alert fires, or is quiet. Returns the time of it, or None if it did not come in time."""
        give_up = time.time() + within
        while time.time() < give_up:
            if (alert in await self.firing()) is fires:
                return time.time()
            await asyncio.sleep(0.5)
        return None

    async def follow(self, command: str) -> None:
        """Run a command of the runbook with the settings of a node. Raises CommandFailed."""
        program, *words = shlex.split(command)
        if program == "psql":
            await self.environment.database.fetch(words[-1])
            return
        if program == "rabbitmqctl":
            broker = self.environment.servers.own.rabbitmq
            assert broker is not None
            await broker.control(*words)
            return
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "actors.cli", *words, env=self._settings(), cwd=self.folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(COMMAND_WITHIN):
            said, _ = await process.communicate()
        allowed = (0, 1) if command.startswith(MAY_SAY_NO) else (0,)
        if process.returncode not in allowed or b"Traceback" in said:
            raise CommandFailed(f"{command}: exit code {process.returncode}: {said.decode()[-400:].strip()}")

    def _settings(self) -> dict[str, str]:
        servers = self.environment.servers
        given = {
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "RABBITMQ_URL": servers.rabbitmq_url or "",
            "EMAIL_URL": self.environment.stub.url,
            "BIND": self._nodes.url.removeprefix("http://"),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEYDAY_")}
        return inherited | SETTINGS | {f"HEYDAY_{name}": value for name, value in given.items()}


@asynccontextmanager
async def scene(executable: Path, folder: Path, *, factor: float) -> AsyncIterator[Scene]:
    """Start private servers, two nodes and Prometheus with the rules, whose durations are divided by the factor."""
    options = ChaosOptions(nodes=2, greetings=PEOPLE, seed=1, faults=())
    configuration = configure(SETTINGS, options, 1.0)
    async with AsyncExitStack() as stack:
        environment = await set_up(stack, options, configuration, folder, lambda _: None)
        connection = await asyncpg.connect(environment.servers.database_url)
        await crowd.users(connection, PEOPLE)
        await connection.close()
        for slot in environment.fleet.slots:
            slot.start()
        await asyncio.gather(*(slot.ready() for slot in environment.fleet.slots))
        targets = [slot.url.removeprefix("http://") for slot in environment.fleet.slots]
        rules = shorter(RULES.read_text(encoding="utf-8"), factor)
        prometheus = PrometheusServer(folder / "prometheus", executable=executable, targets=targets, rules=rules)
        await prometheus.start()
        stack.push_async_callback(prometheus.stop)
        async with asyncio.timeout(READY_WITHIN):
            while await prometheus.scraped() < len(targets):
                await asyncio.sleep(0.2)
        made = Scene(environment, prometheus, folder)
        trickle = asyncio.ensure_future(made.trickle())
        try:
            yield made
        finally:
            trickle.cancel()
            await asyncio.gather(trickle, return_exceptions=True)
