"""A look at a server has a deadline, and however many ask, it is looked at once a second."""

from __future__ import annotations

import asyncio

from actors.api.checks import CHECK_WITHIN, FRESH_FOR, Check
from service.ports import Unavailable


async def test_many_who_ask_share_one_look() -> None:
    """A dashboard on every screen must not become load on a server that is ill."""
    looks = 0

    async def look() -> dict[str, object]:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.01)
        return {"ping": 0.01}

    check = Check(look)

    results = await asyncio.gather(*(check.result() for _ in range(50)))

    assert looks == 1
    assert {result["status"] for result in results} == {"up"}


async def test_a_server_that_hangs_is_down_for_everybody_within_two_seconds() -> None:
    """Whoever asks second must not wait for a second deadline."""

    async def hang() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    check = Check(hang)
    began = asyncio.get_running_loop().time()

    results = await asyncio.gather(*(check.result() for _ in range(5)))

    assert asyncio.get_running_loop().time() - began < 2
    assert {str(result["reason"]) for result in results} == {f"no answer within {CHECK_WITHIN:g} s"}


async def test_a_check_says_for_how_long_it_has_been_so() -> None:
    """A second or a night: the first question of whoever is woken up."""
    away = False

    async def look() -> dict[str, object]:
        if away:
            raise Unavailable("redis", "refused")
        return {}

    check = Check(look)
    await check.result()
    await asyncio.sleep(FRESH_FOR)
    up = await check.result()
    away = True
    await asyncio.sleep(FRESH_FOR)

    down = await check.result()

    assert (up["status"], down["status"]) == ("up", "down")
    assert float(str(up["seconds"])) >= FRESH_FOR > float(str(down["seconds"]))
