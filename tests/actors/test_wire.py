"""The bound on what a node has claimed and has on the wire, whichever delivery actor claimed it."""

from __future__ import annotations

import asyncio

from actors.delivery.wire import CLAIMS_A_PLACE, Wire


async def test_claims_wait_for_room_and_get_it_in_the_order_in_which_they_came() -> None:
    """A large bundle must not wait for ever behind small ones that still fit, and no more is claimed than the bound."""
    wire = Wire(2)
    got: list[str] = []

    async def claim(name: str, count: int) -> None:
        await wire.reserve(count)
        got.append(name)

    await wire.reserve(wire.most)
    large, small = asyncio.ensure_future(claim("large", 3)), asyncio.ensure_future(claim("small", 1))
    wire.release(2)
    for _ in range(5):
        await asyncio.sleep(0)
    before = list(got)
    wire.release(1)
    await large
    wire.release(1)
    await small

    assert wire.most == 2 * CLAIMS_A_PLACE
    assert before == []
    assert got == ["large", "small"]


async def test_one_that_gives_up_waiting_holds_up_nobody() -> None:
    """A delivery actor that crashes or ends while it waits must not leave the turn, or the room, with itself."""
    wire = Wire(1)
    await wire.reserve(wire.most)
    first, second = asyncio.ensure_future(wire.reserve(1)), asyncio.ensure_future(wire.reserve(wire.most))
    await asyncio.sleep(0)

    first.cancel()
    wire.release(wire.most)
    async with asyncio.timeout(5):
        await second

    assert first.cancelled()
