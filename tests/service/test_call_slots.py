"""The limit of calls in flight, while it changes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from hypothesis import given
from hypothesis import strategies as st

from service.call_slots import CallSlots


@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(1, 6))
def test_after_every_change_the_new_limit_holds(sizes: list[int], first: int) -> None:
    """A lower limit holds once those beyond it have released theirs. A higher one wakes those who wait."""

    async def work() -> None:
        slots, held, most = CallSlots(first), 0, 0
        ends: list[asyncio.Event] = []

        async def call(end: asyncio.Event) -> None:
            nonlocal held
            async with slots:
                held += 1
                await end.wait()
                held -= 1

        async def settle() -> None:
            for _ in range(30):
                await asyncio.sleep(0)

        tasks = []
        for _ in range(20):
            ends.append(asyncio.Event())
            tasks.append(asyncio.ensure_future(call(ends[-1])))
        await settle()
        assert held == first
        for number, size in enumerate(sizes):
            before, most = held, size
            slots.resize(size)
            await settle()
            assert held == max(before, most)
            assert slots.locked()
            ends[number].set()  # in the order of the requests, so this one is held
            await settle()
            assert held == max(before - 1 if before >= most else before, most)
        for end in ends:
            end.set()
        await asyncio.gather(*tasks)
        async with AsyncExitStack() as stack:
            for _ in range(most):
                assert not slots.locked()
                await stack.enter_async_context(slots)
            assert slots.locked()

    asyncio.run(work())


async def test_a_request_that_is_cancelled_takes_no_slot_along() -> None:
    """A lost slot would lower the limit until the node ends."""
    slots = CallSlots(2)
    async with slots:
        slots.resize(1)
        waiting = asyncio.ensure_future(slots.acquire())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])

    assert not slots.locked()
    async with asyncio.timeout(5), slots:
        assert slots.locked()
