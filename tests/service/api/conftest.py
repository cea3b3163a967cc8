"""The API of one node on real servers, without the rest of the node."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from actors.api.server import ApiParts, ApiServer
from actors.runtime import ActorState, Address, ChildSpec, ChildView, Supervisor
from service.adapters.postgres.connection import Database
from service.adapters.postgres.history import PostgresHistory
from service.adapters.postgres.idempotency import PostgresIdempotency
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.preview import PostgresPreviews
from service.adapters.postgres.users import PostgresUsers
from service.clock import BusinessClock
from service.domain.zones import TZDATA_VERSION
from service.outages import Outages
from service.settings import Secret, Settings
from service.telemetry.metrics import Metrics


@dataclass
class Api:
    """A served API, a client for it, and what is behind it."""

    client: aiohttp.ClientSession
    database: Database
    parts: ApiParts
    supervisor: Supervisor
    server: ApiServer
    missing: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return str(self.client._base_url).rstrip("/")

    async def read_clock(self) -> None:
        """Let the node read the database's clock, as its ticker does every second."""
        self.parts.clock.read(await self.parts.messages.pulse(), asked_at=time.monotonic())

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and JSON of an answer; None where it has no body."""
        async with self.client.request(method, path, **options) as response:
            body = await response.read()
            return response.status, (await response.json(content_type=None)) if body else None

    async def create(self, **fields: object) -> dict[str, Any]:
        """Create a user who has what `a_user` has and these fields."""
        status, user = await self.call("POST", "/api/v1/users", json=a_user(**fields))
        assert status == 201, user
        created: dict[str, Any] = user
        return created


_number = iter(range(1_000_000_000))


def a_user(**fields: object) -> dict[str, object]:
    """A user document that is valid, with an address of its own."""
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
    """Serves the API with the given settings and parts changed."""
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
        parts = ApiParts(
            settings=chosen,
            users=PostgresUsers(pool, late_limit=timedelta(hours=48), tzdata=TZDATA_VERSION),
            planning=PostgresPlanning(pool),
            messages=PostgresMessages(pool),
            clock=BusinessClock(),
            outages=Outages(),
            metrics=Metrics(),
            tree=lambda: ChildView("node", "supervisor", ActorState.RUNNING, None, None, 0, None, 0.0),
            jobs={},
            checks={},
            needed={},
            ready=lambda: missing,
            history=PostgresHistory(pool),
            previews=PostgresPreviews(pool, late_limit=timedelta(hours=48)),
            idempotency=PostgresIdempotency(pool),
        )
        parts = replace(parts, **changed)
        servers: list[ApiServer] = []

        def make() -> ApiServer:
            servers.append(ApiServer(parts))
            return servers[-1]

        supervisor = Supervisor("test", [ChildSpec("api", make, Address("api", 1))])
        await supervisor.start()
        closing.append(lambda: supervisor.drain(10))
        client = aiohttp.ClientSession(f"http://127.0.0.1:{servers[0].port}")
        closing.append(client.close)
        api = Api(client, pool, parts, supervisor, servers[0], missing)
        await api.read_clock()
        return api

    yield start
    for close in reversed(closing):
        await close()


@pytest.fixture
async def api(serve: Serve) -> Api:
    """The API as it is without keys and limits."""
    return await serve()
