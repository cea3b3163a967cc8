"""The limit of messages that a node has claimed, over all its senders."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from actors.delivery.permits import CLAIMS_PER_CALL, Permits


async def test_claims_wait_for_room_and_get_it_in_the_order_in_which_they_came() -> None:
    """Small bundles do not overtake a large bundle that waits."""
    permits = Permits(2)
    got: list[str] = []
    end = asyncio.Event()

    async def claim(name: str, count: int) -> None:
        async with permits.claims(count):
            got.append(name)
            await end.wait()

    async with permits.claims(permits.most_claims) as held:
        large, small = asyncio.ensure_future(claim("large", 3)), asyncio.ensure_future(claim("small", 1))
        held.keep(2)
        for _ in range(5):
            await asyncio.sleep(0)
        before = list(got)
    end.set()
    await asyncio.gather(large, small)

    assert permits.most_claims == 2 * CLAIMS_PER_CALL
    assert before == []
    assert got == ["large", "small"]


async def test_a_waiter_that_is_cancelled_holds_up_no_other() -> None:
    """A sender that ends while it waits gives up its place and its room."""
    permits = Permits(1)
    async with AsyncExitStack() as stack:
        held = await stack.enter_async_context(permits.claims(permits.most_claims))
        first = asyncio.ensure_future(stack.enter_async_context(permits.claims(1)))
        await asyncio.sleep(0)
        first.cancel()
        held.release()
        async with asyncio.timeout(60), permits.claims(permits.most_claims):
            pass

    assert first.cancelled()


async def test_a_task_that_never_ran_releases_what_it_was_handed() -> None:
    """A lost permit would lower the limit until the node ends."""
    permits = Permits(1)
    async with permits.claims(permits.most_claims) as held:
        task = asyncio.ensure_future(asyncio.sleep(0, None))
        held.hand_to(task)
        task.cancel()
    await asyncio.wait([task])

    async with asyncio.timeout(60), permits.claims(permits.most_claims):
        pass


async def test_a_lower_limit_lets_what_has_begun_go_on() -> None:
    """A bundle may be larger than what is allowed by then. It is claimed alone, and does not wait for ever."""
    permits = Permits(4)
    async with permits.claims(2):
        permits.resize(1)
        assert permits.most_claims == CLAIMS_PER_CALL
        waiting = asyncio.ensure_future(_claimed(permits, 4 * CLAIMS_PER_CALL))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
    async with asyncio.timeout(60):
        await waiting
        await _claimed(permits, 1)


async def test_a_higher_limit_wakes_those_who_wait() -> None:
    """Nothing else would, while calls hang."""
    permits = Permits(1)
    async with permits.claims(permits.most_claims):
        waiting = asyncio.ensure_future(_claimed(permits, CLAIMS_PER_CALL))
        await asyncio.sleep(0)
        permits.resize(2)
        async with asyncio.timeout(60):
            await waiting


async def _claimed(permits: Permits, count: int) -> None:
    async with permits.claims(count):
        pass
