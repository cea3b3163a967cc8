"""The rate and the concurrency are changed in the midst of a wave on three nodes, on virtual time."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from random import Random

from service.domain.limits import LimitName
from tests.fakes.limits import FakeLimits
from tests.principals import OPERATOR
from tests.simulation.loop import VirtualLoop
from tests.simulation.test_low_rate import BEGIN, PEOPLE, put_people
from tests.simulation.world import SimulatedNode, World

BOUND = 1.0
"""Seconds after a change at which no call begins any more by the earlier value."""

SLACK = 0.2
"""Seconds for which calls may be ahead of the rate: they may be late, and make up for a little idle time."""


async def until_accepted(world: World, count: int) -> None:
    """Look ten times a second of virtual time."""
    while True:
        await asyncio.sleep(0.1)
        if world.post.accepted.total() >= count:
            return


def test_a_changed_rate_is_kept_by_all_nodes_within_a_second_and_never_exceeded() -> None:
    """Lower, because the email service suffers; then much higher: the nodes that read it first must not add to the
    calls of those that still go by the earlier rate."""
    loop = VirtualLoop()
    called_at: list[float] = []
    changes: list[tuple[float, float]] = []

    def tell(event: str, **_: object) -> None:
        if event == "accepted":
            called_at.append(loop.time())

    world = World(loop, Random(1), begin=BEGIN, rate=1.0, settings={"EMAIL_RATE": "20"}, tell=tell)
    put_people(world)
    world.nodes.extend(SimulatedNode(world, f"node-{number}") for number in range(1, 4))

    async def change(per_second: int) -> None:
        await FakeLimits(world.truth).change({LimitName.EMAIL_RATE: f"{per_second}/s"}, by=OPERATOR)
        changes.append((loop.time(), per_second))

    async def wave() -> None:
        for node in world.nodes:
            node.start()
        await until_accepted(world, 100)
        changes.append((loop.time() - BOUND, 20))
        await change(2)
        await asyncio.sleep(31.0)
        await change(100)
        await until_accepted(world, PEOPLE)

    try:
        loop.run_until_complete(loop.create_task(wave(), name="wave"))
    finally:
        world.over = True
        loop.dead_letter()
        loop.close()

    def calls(begin: float, end: float) -> int:
        return bisect_left(called_at, end) - bisect_left(called_at, begin)

    (_, before), (lowered_at, low), (raised_at, high) = changes
    assert 0.8 * 30 * low <= calls(lowered_at + BOUND, raised_at) <= low * (30 + SLACK) + 1
    assert len(called_at) == PEOPLE
    for at in called_at:
        allowed = before if at < lowered_at + BOUND else low if at < raised_at - 1 else high
        assert calls(at, at + 1) <= allowed * (1 + SLACK) + 1, at - raised_at
    assert called_at[-1] - raised_at < BOUND + 1.2 * PEOPLE / high


def test_a_lowered_concurrency_is_kept_while_calls_hang() -> None:
    """It is what an operator lowers when the email service is slow."""
    loop = VirtualLoop()
    world = World(
        loop, Random(1), begin=BEGIN, rate=1.0, settings={"EMAIL_CONCURRENCY": "50"}, tell=lambda *_, **__: None
    )
    put_people(world)
    world.post.takes = 2.0
    world.nodes.append(SimulatedNode(world, "node-1"))
    in_flight: list[int] = []

    async def wave() -> None:
        world.nodes[0].start()
        await until_accepted(world, 100)
        await FakeLimits(world.truth).change({LimitName.EMAIL_CONCURRENCY: "3"}, by=OPERATOR)
        await asyncio.sleep(BOUND + world.post.takes + 0.5)
        for _ in range(20):
            await asyncio.sleep(0.5)
            in_flight.append(sum(map(len, world.post.called.values())) - world.post.accepted.total())
        await FakeLimits(world.truth).change({LimitName.EMAIL_CONCURRENCY: None}, by=OPERATOR)
        await until_accepted(world, PEOPLE)

    try:
        loop.run_until_complete(loop.create_task(wave(), name="wave"))
    finally:
        world.over = True
        loop.dead_letter()
        loop.close()

    assert max(in_flight) == 3
