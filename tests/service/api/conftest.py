"""The API of one node on real servers, without the other actors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from actors.http_server import ApiServer
from actors.node_health import tree_as_json
from actors.runtime import ActorState, Address, ChildSpec, ChildView, Supervisor
from service.adapters.postgres.audit import PostgresAuditLog
from service.adapters.postgres.connection import Database
from service.adapters.postgres.history import PostgresHistory
from service.adapters.postgres.holds import PostgresHolds
from service.adapters.postgres.idempotency import PostgresIdempotency
from service.adapters.postgres.limits import PostgresLimits
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.occasions import PostgresOccasions
from service.adapters.postgres.overview import PostgresOverviews
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.preview import PostgresPreviews
from service.adapters.postgres.suppressions import PostgresSuppressions
from service.adapters.postgres.user_lists import PostgresUserLists
from service.adapters.postgres.users import PostgresUsers
from service.api.dependencies import ApiDependencies
from service.api.email_events.secrets import EmailEventSecrets
from service.api.middleware.api_keys import ApiKeys
from service.domain.messages import Answer, Outcome
from service.domain.zones import TZDATA_VERSION
from service.node.clock import BusinessClock
from service.node.limits import NodeLimits
from service.node.outages import Outages
from service.ports import (
    AuditLog,
    CircuitOpen,
    CircuitState,
    Greeting,
    History,
    Holds,
    Idempotency,
    Limits,
    Messages,
    Occasions,
    Overviews,
    Planning,
    Previews,
    RequestRate,
    Snapshots,
    Suppressions,
    UserLists,
    Users,
)
from service.settings import Secret, Settings
from service.telemetry.metrics import Metrics


@dataclass(frozen=True)
class ServedPorts:
    """The ports of the routes, on the test's database."""

    users: Users
    planning: Planning
    messages: Messages
    history: History
    holds: Holds
    limits: Limits
    user_lists: UserLists
    suppressions: Suppressions
    occasions: Occasions
    previews: Previews
    idempotency: Idempotency
    audit: AuditLog
    overviews: Overviews
    snapshots: Snapshots | None = None
    request_rate: RequestRate | None = None


class Post:
    """An email service that keeps its greetings."""

    circuit = CircuitState.CLOSED
    failures_in_a_row = 0
    unavailable = None
    wants_trial = False

    def __init__(self, *, is_open: bool = False) -> None:
        self.sent: list[Greeting] = []
        self._is_open = is_open

    async def send(self, greeting: Greeting, **_options: Any) -> Answer:
        if self._is_open:
            raise CircuitOpen
        self.sent.append(greeting)
        return Answer(Outcome.PERMANENT_FAILURE, 0.25, status_code=422, error="no such address")

    async def admits(self, *, within: float) -> bool:
        return True


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait for a connection as long as it takes: a hundred at once, on a busy machine, are no outage."""
    take = Database._take_at_once
    monkeypatch.setattr(Database, "_take_at_once", lambda self, pool, within: take(self, pool, max(within, 60.0)))


@dataclass
class Api:
    """A served API, a client for it, and its resources."""

    client: aiohttp.ClientSession
    database: Database
    dependencies: ApiDependencies
    supervisor: Supervisor
    server: ApiServer
    missing: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return str(self.client._base_url).rstrip("/")

    async def read_clock(self) -> None:
        """Let the node read the database's clock, as its ticker does every second."""
        self.dependencies.clock.read(await self.dependencies.ports.messages.read_clock(), asked_at=time.monotonic())

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Return status and JSON of an answer. The JSON is None without a body."""
        async with self.client.request(method, path, **options) as response:
            body = await response.read()
            return response.status, (await response.json(content_type=None)) if body else None

    async def create(self, **fields: object) -> dict[str, Any]:
        """Create a user with the fields of `a_user` and these."""
        status, user = await self.call("POST", "/api/v1/users", json=a_user(**fields))
        assert status == 201, user
        created: dict[str, Any] = user
        return created


async def request_lines(lines: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """Wait until `count` requests are logged among these lines, and return theirs."""
    async with asyncio.timeout(10):
        while len(found := [line for line in lines if line["event"] == "http_request"]) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    return found


_number = iter(range(1_000_000_000))


def a_user(**fields: object) -> dict[str, object]:
    """A valid user document with a unique address."""
    return {
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": f"ada{next(_number)}@example.com",
        "timezone": "Europe/London",
        **fields,
    }


Serve = Callable[..., Awaitable[Api]]


@pytest.fixture
async def serve(database: str) -> AsyncIterator[Serve]:
    """Serves the API with changed settings, ports and dependencies."""
    closing: list[Callable[[], Awaitable[object]]] = []

    async def start(settings: dict[str, Any] | None = None, **changed: Any) -> Api:
        pool = Database(database, size=10)
        await pool.open()
        closing.append(pool.close)
        chosen = Settings(
            Secret(database),
            Secret(""),
            Secret("http://127.0.0.1:1"),
            bind_port=0,
            **{"rate_limit": None, **(settings or {})},
        )
        missing: list[str] = []
        ports = ServedPorts(
            users=PostgresUsers(pool, late_limit=timedelta(hours=48), tzdata=TZDATA_VERSION),
            planning=PostgresPlanning(pool),
            messages=PostgresMessages(pool),
            history=PostgresHistory(pool),
            holds=PostgresHolds(pool),
            limits=PostgresLimits(pool),
            user_lists=PostgresUserLists(pool),
            suppressions=PostgresSuppressions(pool),
            occasions=PostgresOccasions(pool),
            previews=PostgresPreviews(pool, late_limit=timedelta(hours=48)),
            idempotency=PostgresIdempotency(pool),
            audit=PostgresAuditLog(pool),
            overviews=PostgresOverviews(pool),
        )
        of_ports = {name: changed.pop(name) for name in list(changed) if hasattr(ports, name)}
        dependencies = ApiDependencies(
            ports=replace(ports, **of_ports),
            settings=chosen,
            clock=BusinessClock(),
            outages=Outages(),
            metrics=Metrics(),
            tree=lambda: tree_as_json(ChildView("node", "supervisor", ActorState.RUNNING, None, None, 0, None, 0.0)),
            jobs={},
            checks={},
            needed={},
            ready=lambda: missing,
            name=lambda: "node-1",
            report=dict,
            limits=NodeLimits(chosen),
            api_keys=ApiKeys(chosen),
            email_event_secrets=EmailEventSecrets(chosen),
            email=Post(is_open=True),
        )
        dependencies = replace(dependencies, **changed)
        servers: list[ApiServer] = []

        def make() -> ApiServer:
            servers.append(ApiServer(dependencies))
            return servers[-1]

        supervisor = Supervisor("test", [ChildSpec("api", make, Address("api", 1))])
        await supervisor.start()
        closing.append(lambda: supervisor.drain(10))
        client = aiohttp.ClientSession(f"http://127.0.0.1:{servers[0].port}")
        closing.append(client.close)
        api = Api(client, pool, dependencies, supervisor, servers[0], missing)
        if "clock" not in changed:
            await api.read_clock()
        return api

    yield start
    for close in reversed(closing):
        await close()


@pytest.fixture
async def api(serve: Serve) -> Api:
    """The API without keys and limits."""
    return await serve()
