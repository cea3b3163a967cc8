"""Whole nodes with two email services: the second takes over, and no message is accepted by both."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from actors.commands.sandbox.email_stub import EmailStub, StubOptions, serve
from tests.node.harness import World, eventually

FEW: dict[str, Any] = {"CIRCUIT_FAILURES": "5", "CIRCUIT_RESET": "1s", "EMAIL_CONCURRENCY": "8", "EMAIL_TIMEOUT": "10s"}
IN_DOUBT = "select distinct message_id::text as id from attempts where outcome = 'unknown' or in_doubt"

BEGUN_THERE = "select distinct message_id::text as id from attempts where outcome = 'unknown' and service = 'fallback'"


@pytest.fixture
async def fallback() -> AsyncIterator[EmailStub]:
    """The second email service."""
    stub = await serve("127.0.0.1", 0, StubOptions())
    yield stub
    await stub.close()


def book(stub: EmailStub) -> Counter[str]:
    """Count the acceptances of each message by a service."""
    return Counter(str(one.key) for block in stub.ledger.acceptances() for one in block)


async def test_the_second_service_takes_over_in_mid_wave_and_the_first_is_used_again(
    world: World, fallback: EmailStub
) -> None:
    """The first service loses its answers, then answers 500. Messages with an unknown outcome wait for it."""
    primary = world.stub
    primary.change(replace(primary.options, latency=(0.02, 0.02)))
    await world.begin()
    nodes = [await world.node(EMAIL_FALLBACK_URL=fallback.url, **FEW) for _ in range(2)]
    await world.clock.set(await world.wave(400))
    await world.accepted(50)

    primary.change(replace(primary.options, accept_then_fail_rate=0.5, error_rate=0.5))
    for node in nodes:
        await node.logged("circuit_opened", service="primary")

    async def the_rest_is_sent() -> bool:
        counts = await world.counts()
        return counts["sent"] + len(await world.fetch(IN_DOUBT)) >= 400 and counts["retrying"] > 0

    await eventually(the_rest_is_sent)
    in_doubt = {row["id"] for row in await world.fetch(IN_DOUBT)}
    taken = book(fallback)
    assert len(taken) > 200
    assert not taken.keys() & in_doubt
    assert not taken.keys() & book(primary).keys()
    _, health = await nodes[0].get("/health/detailed")
    assert health["email"]["circuit"] != "closed"
    assert health["email"]["fallback"]["circuit"] == "closed"
    assert await nodes[0].metric('circuit_breaker_state{service="message-api-fallback"}') == 0

    primary.change(replace(primary.options, accept_then_fail_rate=0.0, error_rate=0.0))
    total = 400
    await world.all_are("sent", total)

    async def both_use_the_first_again() -> bool:
        # A node without other messages begins with a trial, and the fallback takes new messages meanwhile.
        nonlocal total
        states = [await node.metric('circuit_breaker_state{service="message-api"}') for node in nodes]
        if states != [0, 0]:
            await world.wave(10)
            total += 10
            await world.all_are("sent", total)
        return states == [0, 0]

    await eventually(both_use_the_first_again)
    before = primary.ledger.accepted
    await world.wave(200)
    total += 200
    await world.all_are("sent", total)

    assert primary.ledger.accepted - before > 100
    both = book(primary).keys() & book(fallback).keys()
    assert both == set()
    assert set(book(fallback).values()) == {1}
    await world.assert_nobody_was_greeted_twice()
    taken_by_fallback = [
        await node.metric('messages_sent_by_service_total{service="message-api-fallback"}') for node in nodes
    ]
    assert sum(taken_by_fallback) == fallback.ledger.accepted
    rows = await world.fetch("select service, count(*) from messages group by 1")
    assert {row["service"]: row["count"] for row in rows} == {
        "primary": total - fallback.ledger.accepted,
        "fallback": fallback.ledger.accepted,
    }
    sent_by_fallback = next(iter(book(fallback)))
    _, message = await nodes[0].get(f"/api/v1/messages/{sent_by_fallback}")
    assert message["service"] == "fallback"
    assert [one["service"] for one in message["timeline"] if one["event"] == "attempt"][-1] == "fallback"
    lines = [line for node in nodes for line in node.lines_of("greeting_sent", service="fallback")]
    assert {line["message"] for line in lines} == book(fallback).keys()


async def test_what_a_dead_node_had_begun_at_the_second_service_stays_there(
    small_world: World, fallback: EmailStub
) -> None:
    """The first service is back by then, and would deliver them a second time."""
    world, primary = small_world, small_world.stub
    primary.change(replace(primary.options, down=True))
    fallback.change(replace(fallback.options, hang_rate=1.0))
    settings: dict[str, Any] = {
        "EMAIL_FALLBACK_URL": fallback.url,
        **FEW,
        "EMAIL_TIMEOUT": "30s",
        "CIRCUIT_FAILURES": "2",
    }
    await world.begin()
    dying = await world.node(**settings)
    await world.clock.set(await world.wave(12))
    await eventually(lambda: _has(fallback.ledger.hangs >= 8))
    await dying.kill()

    primary.change(replace(primary.options, down=False))
    await world.node(**settings)
    # A trial of the first service, begun by the dead node, stays there in the same way.
    await eventually(lambda: _all_taken_or_begun_there(world, primary))
    begun = {row["id"] for row in await world.fetch(BEGUN_THERE)}
    assert len(begun) >= 8
    assert not book(primary).keys() & begun
    fallback.change(replace(fallback.options, hang_rate=0.0))

    await world.all_are("sent", 12)
    assert book(fallback).keys() == begun
    assert not book(primary).keys() & begun


async def _all_taken_or_begun_there(world: World, primary: EmailStub) -> bool:
    counts = await world.counts()
    return counts["sent"] == primary.ledger.accepted == 12 - len(await world.fetch(BEGUN_THERE))


async def _has(condition: bool) -> bool:
    return condition
