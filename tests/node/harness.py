"""Runs whole nodes for tests as processes, on real servers, with a fake email service that logs its calls."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import asyncpg

from actors.commands.sandbox.email_stub import Acceptance, EmailStub
from tests.conftest import Clock
from tests.databases import KeptConnection
from tests.forks import ForkedProcess, fork
from tests.forks.client import RABBITMQ_PATIENCE

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
MAX_WAIT = 90.0
"""Time limit in seconds for any wait on a busy machine; a passing test takes far less."""

LONGEST_LINE = 1 << 20
"""Bytes of a log line."""

QUICK = {
    "HEYDAY_EMAIL_TIMEOUT": "1s",
    "HEYDAY_EMAIL_BACKOFF": "50ms",
    "HEYDAY_EMAIL_BACKOFF_LIMIT": "500ms",
    "HEYDAY_EMAIL_ATTEMPTS": "30",
    "HEYDAY_CIRCUIT_RESET": "300ms",
    "HEYDAY_DRAIN_WITHIN": "10s",
}
"""Settings that shorten waits of minutes to moments."""

NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)
"""The instant at which most tests begin: a Sunday on which the United States change their clocks."""


class NeverCame(AssertionError):
    """A condition did not become true in time."""


async def eventually(condition: Callable[[], Awaitable[T]], *, within: float = MAX_WAIT, every: float = 0.03) -> T:
    """Poll `condition` until it is true, and return its value; for servers that send no signal. Raises NeverCame."""
    deadline = time.monotonic() + within
    while not (last := await condition()):
        if time.monotonic() > deadline:
            raise NeverCame(f"not within {within:g} s; last seen: {last!r}")
        await asyncio.sleep(every)
    return last


class NodeProcess:
    """A node process with its environment, log lines, HTTP port and exit code."""

    def __init__(self, name: str, process: asyncio.subprocess.Process | ForkedProcess) -> None:
        self.name = name
        self.lines: list[dict[str, Any]] = []
        self.said: list[str] = []
        """Output that is not a log line."""
        self._process = process
        self._heard = asyncio.Event()
        self._listening = asyncio.ensure_future(self._listen())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """True while the process runs."""
        return self._process.returncode is None

    def lines_of(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return the log lines of that event so far, with these fields."""
        return [line for line in self.lines if line.get("event") == event and fields.items() <= line.items()]

    async def logged(self, event: str, *, within: float = MAX_WAIT, times: int = 1, **fields: object) -> dict[str, Any]:
        """Wait for `times` lines of that event, and return the latest. Raises NeverCame."""
        try:
            async with asyncio.timeout(within):
                while len(found := self.lines_of(event, **fields)) < times:
                    if self._listening.done():
                        raise NeverCame(f"{self.name} ended without {event}: {self.tail()}")
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise NeverCame(f"{self.name} did not log {event} {fields} within {within:g} s: {self.tail()}") from None
        return found[-1]

    async def get(self, path: str) -> tuple[int, Any]:
        """Make a request; return status, and JSON or text."""
        return await self.call("GET", path)

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Make a request; return status, and JSON or text."""
        port = (await self.logged("api_listening"))["port"]
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, f"http://127.0.0.1:{port}{path}", **options) as response,
        ):
            text = await response.text()
            return response.status, json.loads(text) if response.content_type.endswith(("/json", "+json")) else text

    async def ready(self) -> bool:
        """Return True if it is ready. Wait for it by `eventually`: a check that is slow on a busy machine fails."""
        return (await self.get("/health/ready"))[0] == 200

    async def metric(self, name: str) -> float:
        """Return the value of the first series whose line begins with `name`."""
        _, text = await self.get("/metrics")
        return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self, *, within: float = MAX_WAIT) -> int:
        """Wait for its end, and return the exit code. Raises NeverCame."""
        try:
            async with asyncio.timeout(within):
                code = await self._process.wait()
                await self._listening
        except TimeoutError:
            raise NeverCame(f"{self.name} did not end within {within:g} s: {self.tail()}") from None
        return code

    async def drained(self, *, within: float = MAX_WAIT) -> int:
        """Send SIGTERM, and return the exit code."""
        self.send(signal.SIGTERM)
        return await self.ended(within=within)

    async def kill(self) -> None:
        """Kill it, like a power failure."""
        if self.running:
            self._process.kill()
        await self.ended()

    def crashes(self) -> list[str]:
        """Return the log lines of crashed actors."""
        return [json.dumps(line) for line in self.lines_of("actor_crashed")]

    def tail(self) -> str:
        """Return the last lines, for the report of a failed test."""
        return "\n".join([*(json.dumps(line)[:400] for line in self.lines[-12:]), *self.said[-12:]])

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            text = raw.decode().rstrip()
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            if isinstance(line, dict):
                self.lines.append(line)
            elif text:
                self.said.append(text)
            self._heard.set()
        self._heard.set()


READ_BY_INTERPRETERS = frozenset({"LD_PRELOAD", "PYTHONPATH"})
"""Variables that have no effect on a fork: they are read at the start of a program."""


async def heyday(*arguments: str, environment: Mapping[str, str], name: str = "heyday") -> NodeProcess:
    """Start the command line as a process, with these HEYDAY_ variables and no others."""
    return NodeProcess(name, await fork(arguments, _inherited() | dict(environment), limit=LONGEST_LINE))


async def python_heyday(
    *arguments: str, environment: Mapping[str, str], name: str = "heyday", under: Sequence[str] = ()
) -> NodeProcess:
    """Start it by an interpreter of its own, which reads the environment at its start.

    `under` is a command that executes it, such as one that changes the mounts first.
    """
    process = await asyncio.create_subprocess_exec(
        *under,
        sys.executable,
        "-m",
        "actors.cli",
        *arguments,
        cwd=ROOT,
        env=_inherited() | dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    return NodeProcess(name, process)


def _inherited() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("HEYDAY_")}


class World:
    """A database, a Redis, perhaps a RabbitMQ, an email service, and the nodes that a test starts."""

    def __init__(self, *, dsn: str, redis_url: str, rabbitmq_url: str | None, stub: EmailStub) -> None:
        self.dsn = dsn
        self.redis_url = redis_url
        self.rabbitmq_url = rabbitmq_url
        self.stub = stub
        self.nodes: list[NodeProcess] = []
        self._connection = KeptConnection(dsn)
        self.clock = Clock(self._connection)

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of a node; `settings` are named without their prefix."""
        return {
            **QUICK,
            "HEYDAY_DATABASE_URL": self.dsn,
            "HEYDAY_REDIS_URL": self.redis_url,
            **({"HEYDAY_RABBITMQ_URL": self.rabbitmq_url} if self.rabbitmq_url else {}),
            "HEYDAY_EMAIL_URL": self.stub.url,
            "HEYDAY_BIND": "127.0.0.1:0",
            "HEYDAY_RATE_LIMIT": "off",
            **{f"HEYDAY_{name}": value for name, value in settings.items()},
        }

    async def node(
        self,
        *arguments: str,
        rehearsal: bool = True,
        beside: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
        rabbitmq_patience: float | None = None,
        **settings: str,
    ) -> NodeProcess:
        """Start a node with these settings and the environment `beside`. It is killed when the test ends.

        `rabbitmq_patience` is the seconds that RabbitMQ has to connect and to answer, where an outage would hide what
        the test is about.
        """
        name = settings.setdefault("NODE_ID", f"node-{len(self.nodes) + 1}")
        if (timeout := settings.get("EMAIL_TIMEOUT", "")).endswith("0s"):
            settings.setdefault("DRAIN_WITHIN", timeout)  # a shorter drain is refused
        words = ["run", *(["--rehearsal"] if rehearsal else []), *arguments]
        environment = self.environment(**settings) | dict(beside or {})
        if under or READ_BY_INTERPRETERS & environment.keys():
            node = await python_heyday(*words, environment=environment, name=name, under=under)
        else:
            if rabbitmq_patience is not None:
                environment[RABBITMQ_PATIENCE] = str(rabbitmq_patience)
            node = await heyday(*words, environment=environment, name=name)
        self.nodes.append(node)
        return node

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Return rows."""
        return await self._connection.run(lambda connection: connection.fetch(query, *args))

    async def move(self, dsn: str) -> None:
        """Use another database from now on, for nodes that are started, too."""
        await self._connection.close()
        self.dsn, self._connection = dsn, KeptConnection(dsn)
        self.clock = Clock(self._connection)

    async def value(self, query: str, *args: object) -> Any:
        """Return the first column of the first row."""
        return (await self.fetch(query, *args))[0][0]

    async def begin(self, at: datetime = NOON, *, rate: float = 1.0) -> None:
        """Set business time to `at`, with everything before it planned."""
        await self.clock.set(at)
        if rate != 1.0:
            await self.clock.rate(rate)
        await self.fetch("update planning set planned_until = $1", at)

    async def users(
        self, count: int, birthday: date, *, timezone: str = "UTC", created_at: datetime | None = None
    ) -> None:
        """Create users with that birthday in one statement; they are a month old."""
        await self.fetch(
            """
            with made as (
                insert into users (first_name, last_name, email, email_key, timezone, created_at)
                select 'Ada', 'No ' || n, address, address, $2, coalesce($4, business_now() - interval '30 days')
                from generate_series(1, $1) n, lateral (select n || '.' || gen_random_uuid() || '@a.test' as address) a
                returning id
            )
            insert into occasion_dates (user_id, occasion, date) select id, 'birthday', $3 from made
            """,
            count,
            timezone,
            birthday.replace(year=1992),
            created_at,
        )

    async def planned(self, count: int, *, within: float = MAX_WAIT) -> None:
        """Wait until `count` messages are planned."""

        async def enough() -> bool:
            return bool(await self.value("select count(*) from messages") >= count)

        await eventually(enough, within=within)

    async def wave(self, count: int) -> datetime:
        """Create users due at one instant, a day after the start; return it when a node has planned them."""
        due = NOON + timedelta(hours=21)
        await self.users(count, due.date())
        # A running node may have planned that day before the users existed.
        await self.fetch("update planning set planned_until = least(planned_until, $1)", NOON)
        for node in self.nodes:
            if node.running and node.lines_of("node_entered"):
                await node.logged("api_listening")
                with suppress(aiohttp.ClientError):
                    await node.call("POST", "/api/v1/jobs/daily:run")
        await self.planned(count)
        return due

    async def counts(self) -> Counter[str]:
        """Return the number of messages in each state."""
        rows = await self.fetch("select status, count(*) from messages group by status")
        return Counter({row["status"]: row["count"] for row in rows})

    async def has(self, status: str, count: int) -> bool:
        """Return True if `count` messages are in that state."""
        return (await self.counts())[status] >= count

    async def all_are(self, status: str, count: int, *, within: float = MAX_WAIT) -> None:
        """Wait until all messages, `count` of them, are in that state."""
        seen: Counter[str] = Counter()

        async def reached() -> bool:
            nonlocal seen
            seen = await self.counts()
            return seen == {status: count}

        try:
            await eventually(reached, within=within, every=0.05)
        except NeverCame:
            tails = "\n".join(f"{node.name}:\n{node.tail()}" for node in self.nodes)
            raise NeverCame(f"{count} messages are not all {status} but {dict(seen)}\n{tails}") from None

    async def all_end(self, *, within: float = MAX_WAIT) -> None:
        """Wait until no message is on its way."""

        async def ended() -> bool:
            return bool(await self.value("select count(*) from messages where ended_at is null") == 0)

        await eventually(ended, within=within)

    async def accepted(self, count: int, *, within: float = MAX_WAIT) -> None:
        """Wait until the email service has accepted `count`."""

        async def enough() -> bool:
            return self.stub.ledger.accepted >= count

        await eventually(enough, within=within, every=0.005)

    def acceptances(self) -> list[Acceptance]:
        """Return all acceptances of the email service, in order."""
        return [one for block in self.stub.ledger.acceptances() for one in block]

    async def excused(self) -> Counter[str]:
        """Return the number of attempts of unknown outcome per message: the allowed further acceptances."""
        rows = await self.fetch("select message_id::text, count(*) from attempts where outcome = 'unknown' group by 1")
        return Counter({row["message_id"]: row["count"] for row in rows})

    async def assert_nobody_was_greeted_twice(self) -> None:
        """Check that every key was accepted once, plus at most once per attempt of unknown outcome."""
        times = Counter(one.key for one in self.acceptances())
        excused = await self.excused()
        wrong = {key: count for key, count in times.items() if count > 1 + excused[str(key)]}
        assert wrong == {}, wrong

    async def assert_each_was_accepted_once(self, number: int) -> None:
        """Check that so many messages were accepted: once, and again only after an attempt of unknown outcome.

        On a machine that stands still for the time of a call, the outcome of the call is unknown.
        """
        await self.assert_nobody_was_greeted_twice()
        assert len({one.key for one in self.acceptances()}) == number

    async def assert_nobody_was_greeted_early(self) -> None:
        """Check that every attempt began, by the database's clock, at or after the message's instant."""
        query = "select count(*) from attempts a join messages m on m.id = a.message_id where a.started_at < m.send_at"
        assert await self.value(query) == 0

    async def close(self) -> None:
        """End the nodes and the email service."""
        await self._connection.close()
        for node in self.nodes:
            if node.running:
                node.send(signal.SIGCONT)
            await node.kill()
        await self.stub.close()


@asynccontextmanager
async def locked(world: World, table: str) -> AsyncIterator[None]:
    """Let every statement about that table wait during the block."""
    connection = await asyncpg.connect(world.dsn)
    try:
        async with connection.transaction():
            await connection.execute(f"lock table {table}")
            yield
    finally:
        await connection.close()
