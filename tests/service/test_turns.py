"""Tests that long work yields to the event loop."""

from __future__ import annotations

import asyncio
import time

from service.turns import TURN_SECONDS, TURNS, Turns


async def test_a_request_of_several_steps_passes_within_one_pause() -> None:
    """With one turn of the loop at a time, each step of a request waited for 5 ms of each import."""
    steps = 0

    async def request() -> None:
        nonlocal steps
        for _ in range(TURNS - 2):
            await asyncio.sleep(0)
            steps += 1

    turns = Turns()
    other = asyncio.create_task(request())
    began = time.perf_counter()
    while time.perf_counter() - began < TURN_SECONDS:
        pass

    await turns.give()

    assert steps == TURNS - 2
    await other


async def test_work_that_is_short_gives_no_turn() -> None:
    """Yielding after each row would cost more than the row."""
    other = asyncio.create_task(asyncio.sleep(0))

    turns = Turns()
    turns._began = float("inf")  # no time has passed, however busy the machine is
    await turns.give()

    assert not other.done()
    await other
