"""Tests the attacks of the load tests on a server that only answers."""

from __future__ import annotations

import zlib

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from loadtest.stress import attacks
from loadtest.stress.abuse import CASES, Case, table
from loadtest.stress.attacks import ATTACKS, BOMB, run, target_of
from tests.loadtest.conftest import Call


@pytest.mark.parametrize("url", ["http://192.0.2.1:8080", "http://example.com", "http://0.0.0.0:8080"])
def test_another_machine_is_not_attacked(call: Call, url: str) -> None:
    """The tool may only attack a node on the same machine."""
    done = call(attacks.main, url, "silent", "--seconds", "0")

    assert (done.code, done.said) == (2, "")
    assert "address" in done.complaints


def test_the_compressed_body_is_small_and_becomes_large() -> None:
    """A server could refuse a body that is not valid gzip at no cost."""
    assert len(BOMB) < 2_100_000
    assert len(zlib.decompressobj(31).decompress(BOMB[:20_000])) > 10_000_000


@pytest.mark.parametrize("name", ["compressed", "slow-imports", "dripping-heads"])
async def test_an_attack_connects_and_ends_in_time(name: str) -> None:
    """A server that refuses everything still answers. The attack counts the answers and continues."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=401)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    server = TestServer(app)
    await server.start_server(auto_decompress=False)  # as heyday: else the server inflates what it has refused
    async with server:
        target = target_of(f"http://127.0.0.1:{server.port}", "key")
        await run(name, target, 3)

    assert target.counts["connections"] >= ATTACKS[name][0] / 4


def test_every_attack_has_a_limit_for_each_promise() -> None:
    """An attack that never connected must fail, and so must a figure above its limit."""
    case = Case(CASES[1], last=9.0, deaths=1, counts={"not connected": 3})
    case.live.seconds += [0.2] * 3
    case.live.errors = case.client.errors = case.imports.errors = 1

    assert [check.good for check in case.checks] == [False] * 8
    assert "not connected 3" in table([case])
    assert not Case(CASES[1]).checks[0].good
