"""Searches, previews and forecasts: a few at a time, and no key makes others wait for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.api.http import costly_reads
from service.api.http.costly_reads import CostlyReads
from service.api_keys import parse_api_keys
from service.ports import UsersFound
from tests.service.api.conftest import Serve


class Held:
    """Lists of users whose searches wait until they are released."""

    def __init__(self) -> None:
        self.under_way = self.most = 0
        self.begun = asyncio.Semaphore(0)
        self.release = asyncio.Event()

    async def search(self, *_args: object, **_options: object) -> UsersFound:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.begun.release()
        await self.release.wait()
        self.under_way -= 1
        return UsersFound([], None)


async def test_few_searches_are_worked_on_at_once_and_other_keys_have_their_turn(serve: Serve) -> None:
    """Each looks at 50,000 users. A hundred of them at once would take every connection to the database."""
    secrets = ["first-key-of-16-chars", "second-key-of-16-chars", "third-key-of-16-chars"]
    keys = parse_api_keys(",".join(f"{secret[:5]}:read:{secret}" for secret in secrets))
    lists = Held()
    api = await serve({"api_keys": keys}, user_lists=lists)

    def ask(secret: str, path: str) -> asyncio.Task[tuple[int, Any]]:
        return asyncio.create_task(api.call("GET", path, headers={"Authorization": f"Bearer {secret}"}))

    asked = [ask(secrets[0], f"/api/v1/users?q={n}") for n in range(6)]
    async with asyncio.timeout(30):
        for _ in range(costly_reads.MAX_PER_CLIENT):
            await lists.begun.acquire()
        other = ask(secrets[1], "/api/v1/users?q=a")
        await lists.begun.acquire()
        page = await ask(secrets[0], "/api/v1/messages")
    asked += [ask(secrets[2], f"/api/v1/users?q={n}") for n in range(6)]
    lists.release.set()

    assert page[0] == 200
    assert [status for status, _ in await asyncio.gather(other, *asked)] == [200] * 13
    assert lists.most <= costly_reads.MAX_AT_ONCE


@pytest.mark.parametrize(
    "path",
    ["/api/v1/preview", "/api/v1/forecast", "/api/v1/users?q=a", "/api/v1/users?updatedSince=2020-01-01T00:00:00Z"],
)
async def test_every_costly_read_takes_turns(serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A preview of two years calculates for a second."""
    clients = []
    turn = CostlyReads.turn

    @asynccontextmanager
    async def noted(reads: CostlyReads, client: str) -> AsyncIterator[None]:
        clients.append(client)
        async with turn(reads, client):
            yield

    monkeypatch.setattr(CostlyReads, "turn", noted)
    api = await serve()

    assert (await api.call("GET", path))[0] == 200
    assert clients == ["address 127.0.0.1"]


async def test_a_read_whose_client_leaves_gives_its_turn_back() -> None:
    """It may wait, or be worked on. Nothing about the client is kept."""
    reads = CostlyReads()

    async def hold() -> None:
        async with reads.turn("one"):
            await asyncio.Event().wait()

    waiting = [asyncio.create_task(hold()) for _ in range(costly_reads.MAX_AT_ONCE * 2)]
    await asyncio.sleep(0)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert reads._clients == {}
    async with asyncio.timeout(30), reads.turn("one"), reads.turn("one"), reads.turn("two"), reads.turn("two"):
        pass
