"""Searches, previews and forecasts: a few at a time, and no key makes others wait for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from service.api.http import costly_reads
from service.api.http.problems import Problem
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


async def test_few_searches_are_worked_on_at_once(serve: Serve) -> None:
    """Each looks at 50,000 users. A hundred of them at once would take every connection to the database."""
    lists = Held()
    api = await serve(user_lists=lists)
    asked = [asyncio.create_task(api.call("GET", f"/api/v1/users?q={n}")) for n in range(6)]
    for _ in range(costly_reads.MAX_AT_ONCE):
        await lists.begun.acquire()

    page = await api.call("GET", "/api/v1/messages")
    lists.release.set()

    assert page[0] == 200
    assert [status for status, _ in await asyncio.gather(*asked)] == [200] * 6
    assert lists.most == costly_reads.MAX_AT_ONCE


async def test_one_key_cannot_make_others_wait_for_long(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requests beyond a bound are refused, and those of another key have their turn."""
    monkeypatch.setattr(costly_reads, "MAX_PER_CLIENT", 3)
    keys = ["a-key-of-16-chars", "another-key-of-16"]
    lists = Held()
    api = await serve({"api_keys": parse_api_keys(",".join(f"{key[:3]}:read:{key}" for key in keys))}, user_lists=lists)
    mine, other = ({"headers": {"Authorization": f"Bearer {key}"}} for key in keys)
    refused = asyncio.Event()

    async def ask(which: dict[str, Any]) -> int:
        status, _ = await api.call("GET", "/api/v1/users?q=a", **which)
        if status == 503:
            refused.set()
        return status

    asked = [asyncio.create_task(ask(mine)) for _ in range(4)]
    await refused.wait()
    others = asyncio.create_task(ask(other))
    lists.release.set()

    assert sorted(await asyncio.gather(*asked)) == [200, 200, 200, 503]
    assert await others == 200


@pytest.mark.parametrize(
    "path", ["/api/v1/preview", "/api/v1/forecast", "/api/v1/users?updatedSince=2020-01-01T00:00:00Z"]
)
async def test_previews_and_synchronisation_take_turns_too(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A preview of two years calculates for a second."""
    monkeypatch.setattr(costly_reads, "MAX_PER_CLIENT", 0)
    api = await serve()

    status, problem = await api.call("GET", path)

    assert (status, problem["type"]) == (503, "/problems/busy")


async def test_a_read_that_is_cancelled_gives_its_turn_back() -> None:
    """A client may leave while it waits."""
    reads = costly_reads.CostlyReads()

    async def hold(until: Callable[[], Any]) -> None:
        async with reads.turn("one"):
            await until()

    waiting = [asyncio.create_task(hold(asyncio.Event().wait)) for _ in range(costly_reads.MAX_PER_CLIENT)]
    await asyncio.sleep(0)
    with pytest.raises(Problem):
        await hold(asyncio.Event().wait)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    async with asyncio.timeout(10):
        await hold(lambda: asyncio.sleep(0))
