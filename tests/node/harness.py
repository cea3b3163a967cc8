"""Whole nodes for tests: each a process of its own, on real servers, with a fake email service that keeps the books."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import asyncpg

from service.email_stub import Acceptance, EmailStub
from tests.conftest import Clock

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
WITHIN = 90.0
"""Seconds that anything may take on a busy machine; a test that passes takes far less."""

QUICK = {
    "HEYDAY_EMAIL_TIMEOUT": "1s",
    "HEYDAY_EMAIL_BACKOFF": "50ms",
    "HEYDAY_EMAIL_BACKOFF_LIMIT": "500ms",
    "HEYDAY_EMAIL_ATTEMPTS": "30",
    "HEYDAY_CIRCUIT_RESET": "300ms",
    "HEYDAY_DRAIN_WITHIN": "10s",
}
"""Settings under which what takes minutes in production takes moments."""

NOON = datetime(2027, 3, 14, 12, tzinfo=UTC)
"""The instant at which most tests begin. A Sunday on which the United States change their clocks."""


class NeverCame(AssertionError):
    """What a test waited for did not come to be in time."""


async def eventually(condition: Callable[[], Awaitable[T]], *, within: float = WITHIN, every: float = 0.03) -> T:
    """What `condition` returns once that is true. For facts in a server that tells nobody. Raises NeverCame."""
    deadline = time.monotonic() + within
    while not (last := await condition()):
        if time.monotonic() > deadline:
            raise NeverCame(f"not within {within:g} s; last seen: {last!r}")
        await asyncio.sleep(every)
    return last


class NodeProcess:
    """A node as its operator sees it: a process with an environment, log lines, an HTTP port and an exit code."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.lines: list[dict[str, Any]] = []
        self.said: list[str] = []
        """What it wrote that was no log line."""
        self._process = process
        self._heard = asyncio.Event()
        self._listening = asyncio.ensure_future(self._listen())

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def lines_of(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """The log lines of that event so far, having these fields."""
        return [line for line in self.lines if line.get("event") == event and fields.items() <= line.items()]

    async def logged(self, event: str, *, within: float = WITHIN, times: int = 1, **fields: object) -> dict[str, Any]:
        """The latest line of that event, waited for until there are so many. Raises NeverCame."""
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
        """Status and JSON, or text, of an answer."""
        return await self.call("GET", path)

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and JSON, or text, of an answer."""
        port = (await self.logged("api_listening"))["port"]
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, f"http://127.0.0.1:{port}{path}", **options) as response,
        ):
            text = await response.text()
            return response.status, json.loads(text) if response.content_type.endswith(("/json", "+json")) else text

    async def metric(self, name: str) -> float:
        """The value of the first series of a metric whose line begins with `name`."""
        _, text = await self.get("/metrics")
        return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self, *, within: float = WITHIN) -> int:
        """Its exit code, once it has ended. Raises NeverCame."""
        try:
            async with asyncio.timeout(within):
                code = await self._process.wait()
                await self._listening
        except TimeoutError:
            raise NeverCame(f"{self.name} did not end within {within:g} s: {self.tail()}") from None
        return code

    async def drained(self, *, within: float = WITHIN) -> int:
        """Its exit code after SIGTERM."""
        self.send(signal.SIGTERM)
        return await self.ended(within=within)

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self.running:
            self._process.kill()
        await self.ended()

    def crashes(self) -> list[str]:
        """What was said of each actor that crashed."""
        return [json.dumps(line) for line in self.lines_of("actor_crashed")]

    def tail(self) -> str:
        """The last lines, for a test that failed."""
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


async def heyday(*arguments: str, environment: Mapping[str, str], name: str = "heyday") -> NodeProcess:
    """Start the command line as a process, with these HEYDAY_ variables and no others."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HEYDAY_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "actors.cli",
        *arguments,
        cwd=ROOT,
        env=inherited | dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    return NodeProcess(name, process)


class World:
    """A database, a Redis, perhaps a RabbitMQ, an email service, and the nodes that a test starts among them."""

    def __init__(self, *, dsn: str, redis_url: str, rabbitmq_url: str | None, stub: EmailStub) -> None:
        self.dsn = dsn
        self.redis_url = redis_url
        self.rabbitmq_url = rabbitmq_url
        self.stub = stub
        self.clock = Clock(dsn)
        self.nodes: list[NodeProcess] = []

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of a node in this world; `settings` without their prefix."""
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
        self, *arguments: str, rehearsal: bool = True, beside: Mapping[str, str] | None = None, **settings: str
    ) -> NodeProcess:
        """Start a node with these settings and the environment `beside`. It is killed when the test ends."""
        name = settings.setdefault("NODE_ID", f"node-{len(self.nodes) + 1}")
        words = ["run", *(["--rehearsal"] if rehearsal else []), *arguments]
        node = await heyday(*words, environment=self.environment(**settings) | dict(beside or {}), name=name)
        self.nodes.append(node)
        return node

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Rows of the database, through a connection of its own: the server may have been restarted."""
        connection = await asyncpg.connect(self.dsn, timeout=5)
        try:
            return await connection.fetch(query, *args)
        finally:
            await connection.close(timeout=5)

    async def value(self, query: str, *args: object) -> Any:
        """The first column of the first row."""
        return (await self.fetch(query, *args))[0][0]

    async def begin(self, at: datetime = NOON, *, rate: float = 1.0) -> None:
        """Let business time be `at`, with everything before it planned."""
        await self.clock.set(at)
        if rate != 1.0:
            await self.clock.rate(rate)
        await self.fetch("update planning set up_to = $1", at)

    async def users(
        self, count: int, birthday: date, *, timezone: str = "UTC", created_at: datetime | None = None
    ) -> None:
        """So many users with that birthday, made by one statement, who have been there for a month."""
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
        # As autovacuum would within a minute: without statistics the join of planning may take one.
        await self.fetch("analyze users, occasion_dates")

    async def planned(self, count: int, *, within: float = WITHIN) -> None:
        """Wait until so many messages are planned."""

        async def enough() -> bool:
            return bool(await self.value("select count(*) from messages") >= count)

        await eventually(enough, within=within)

    async def wave(self, count: int) -> datetime:
        """So many users greeted at one instant a day after the begin; returns it once a node has planned them."""
        due = NOON + timedelta(hours=21)
        await self.users(count, due.date())
        # A node that is up may have planned that day before they were there.
        await self.fetch("update planning set up_to = least(up_to, $1)", NOON)
        for node in self.nodes:
            if node.running and node.lines_of("node_entered"):
                await node.logged("api_listening")
                with suppress(aiohttp.ClientError):
                    await node.call("POST", "/api/v1/jobs/daily:run")
        await self.planned(count)
        return due

    async def counts(self) -> Counter[str]:
        """How many messages are in each state."""
        rows = await self.fetch("select status, count(*) from messages group by status")
        return Counter({row["status"]: row["count"] for row in rows})

    async def has(self, status: str, count: int) -> bool:
        """Whether so many messages are in that state."""
        return (await self.counts())[status] >= count

    async def all_are(self, status: str, count: int, *, within: float = WITHIN) -> None:
        """Wait until all messages, and so many, are in that state."""
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

    async def all_end(self, *, within: float = WITHIN) -> None:
        """Wait until no message is on its way."""

        async def ended() -> bool:
            return bool(await self.value("select count(*) from messages where ended_at is null") == 0)

        await eventually(ended, within=within)

    async def accepted(self, count: int, *, within: float = WITHIN) -> None:
        """Wait until the email service has accepted so many."""

        async def enough() -> bool:
            return self.stub.ledger.accepted >= count

        await eventually(enough, within=within, every=0.005)

    def acceptances(self) -> list[Acceptance]:
        """Everything that the email service has accepted, in order."""
        return [one for block in self.stub.ledger.acceptances() for one in block]

    async def excused(self) -> Counter[str]:
        """How often each message may have been accepted beyond once: its attempts whose outcome nobody knows."""
        rows = await self.fetch("select message_id::text, count(*) from attempts where outcome = 'unknown' group by 1")
        return Counter({row["message_id"]: row["count"] for row in rows})

    async def assert_nobody_was_greeted_twice(self) -> None:
        """Every key was accepted once, and once more only for each attempt whose outcome was unknown."""
        times = Counter(one.key for one in self.acceptances())
        excused = await self.excused()
        wrong = {key: count for key, count in times.items() if count > 1 + excused[str(key)]}
        assert wrong == {}, wrong

    async def assert_nobody_was_greeted_early(self) -> None:
        """Every attempt began, by the database's clock, at or after the instant of its message."""
        query = "select count(*) from attempts a join messages m on m.id = a.message_id where a.started_at < m.send_at"
        assert await self.value(query) == 0

    async def close(self) -> None:
        """End the nodes and the email service."""
        for node in self.nodes:
            if node.running:
                node.send(signal.SIGCONT)
            await node.kill()
        await self.stub.close()
