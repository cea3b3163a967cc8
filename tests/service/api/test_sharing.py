"""Many watchers of a list cost one computation."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from service.api.middleware import sharing
from service.api_keys import parse_api_keys
from service.ports import Holds
from tests.garbage import only_what_is_made
from tests.node.harness import eventually
from tests.service.api.conftest import Serve

ACCEPTS = {"Cache-Control": "max-age=300"}


class CountedHolds:
    """Counts the reads of pages of another adapter."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self.readings = 0

    async def active(self) -> list[Any]:
        self.readings += 1
        await asyncio.sleep(0)  # others ask meanwhile
        return await self._holds.active()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._holds, name)


async def test_watchers_of_a_list_cost_one_statement(serve: Serve) -> None:
    """Concurrent requests count, too. Each still gets a tag, and 304 while nothing changes."""
    first = await serve()
    holds = CountedHolds(first.dependencies.ports.holds)
    api = await serve(holds=holds)

    answers = await asyncio.gather(*(api.client.get("/api/v1/holds", headers=ACCEPTS) for _ in range(20)))
    tag = answers[0].headers["ETag"]
    async with api.client.get("/api/v1/holds", headers={**ACCEPTS, "If-None-Match": tag}) as again:
        assert again.status == 304

    assert {await answer.text() for answer in answers} == {'{"items":[],"nextCursor":null}'}
    assert holds.readings == 1


async def test_only_requests_that_accept_it_get_an_older_answer(serve: Serve) -> None:
    """A client that changes something reads it anew, and no later request gets the old answer."""
    api = await serve()

    async def seen(**headers: str) -> int:
        async with api.client.get("/api/v1/holds", headers=headers) as answer:
            return len((await answer.json())["items"])

    assert await seen(**ACCEPTS) == 0
    await api.call("POST", "/api/v1/holds", json={"reason": "a test"})
    assert await seen(**ACCEPTS) == 0
    assert await seen(**{"Cache-Control": "max-age=0"}) == 1
    assert await seen() == 1
    assert await seen(**ACCEPTS) == 1


async def test_keys_and_queries_share_nothing(serve: Serve) -> None:
    """An answer may depend on the key."""
    api = await serve({"api_keys": parse_api_keys("one:read:0123456789abcdef,two:admin:fedcba9876543210")})

    async def me(secret: str) -> str:
        headers = {**ACCEPTS, "Authorization": f"Bearer {secret}"}
        async with api.client.get("/api/v1/me", headers=headers) as answer:
            return str((await answer.json())["name"])

    assert [await me("0123456789abcdef"), await me("fedcba9876543210")] == ["one", "two"]
    async with api.client.get("/api/v1/me", headers=ACCEPTS) as answer:
        assert answer.status == 401


async def test_refusals_are_not_shared(serve: Serve) -> None:
    """An outage must not seem to last longer."""
    api = await serve()
    async with api.client.get("/api/v1/messages?limit=0", headers=ACCEPTS) as first:
        assert first.status == 422
    async with api.client.get("/api/v1/messages?limit=0", headers=ACCEPTS) as again:
        assert (again.status, again.headers.get("Age")) == (422, None)


async def test_an_answer_that_no_request_can_get_is_forgotten(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may show users who are erased meanwhile."""
    api = await serve()
    monkeypatch.setattr(sharing, "MAX_AGE", 0.2)
    kind, made = sharing._Kept, 0

    def kept(*values: Any) -> Any:
        nonlocal made
        made += 1
        return kind(*values)

    monkeypatch.setattr(sharing, "_Kept", kept)

    def count() -> int:
        return sum(isinstance(one, kind) for one in gc.get_objects())

    async def forgotten() -> bool:
        gc.collect()
        return count() == 0

    with only_what_is_made():
        for path in ("/api/v1/me", "/api/v1/audit"):
            assert (await api.call("GET", path, headers=ACCEPTS))[0] == 200
            await asyncio.sleep(0.05)
        await eventually(forgotten)

    assert made == 2
