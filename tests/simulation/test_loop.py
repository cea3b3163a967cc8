"""The event loop on virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from tests.simulation.loop import BEGIN, Process, Stuck, VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """A loop, and what is left of it buried."""
    loop = VirtualLoop()
    yield loop
    loop.dead_letter()
    loop.close()


def run(loop: VirtualLoop, work: Coroutine[Any, Any, object]) -> None:
    loop.run_until_complete(loop.create_task(work))


def test_an_hour_passes_at_once(loop: VirtualLoop) -> None:
    """Real time has nothing to do with it."""
    began = time.monotonic()

    run(loop, asyncio.sleep(3600))

    assert loop.time() == BEGIN + 3600
    assert time.monotonic() - began < 60  # on any machine


def test_what_waits_for_nothing_that_could_come_is_said_to_be_stuck(loop: VirtualLoop) -> None:
    """A real loop would wait for ever."""
    with pytest.raises(Stuck):
        run(loop, asyncio.Event().wait())


def test_nothing_real_is_waited_for(loop: VirtualLoop) -> None:
    """A thread, or a socket, would bring in real time and another order each time."""
    with pytest.raises(NotImplementedError):
        run(loop, asyncio.to_thread(int))
    with pytest.raises(NotImplementedError):
        run(loop, asyncio.open_connection("127.0.0.1", 1))


def test_a_process_that_died_does_nothing_any_more(loop: VirtualLoop) -> None:
    """No handler, no `finally`: as after a power cut."""
    process, done = Process("one"), []

    async def inside() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            done.append("tidied up")

    async def story() -> None:
        loop.in_process(process, inside(), name="inside")
        await asyncio.sleep(5)
        process.dead = True
        await asyncio.sleep(60)
        assert done == []

    run(loop, story())


def test_a_process_that_was_stopped_goes_on_late_with_what_it_believes(loop: VirtualLoop) -> None:
    """Its clock has gone on, and its timers are all over at once."""
    process, seen = Process("one"), []

    async def inside() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(loop.time() - BEGIN)

    async def story() -> None:
        loop.in_process(process, inside(), name="inside")
        await asyncio.sleep(1.5)
        process.frozen = True
        await asyncio.sleep(60)
        loop.thaw(process)
        await asyncio.sleep(10)

    run(loop, story())

    assert seen == [1.0, 61.5, 62.5]
