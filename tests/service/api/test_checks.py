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


async def test_a_check_knows_since_when_from_those_who_are_always_at_work() -> None:
    """Whoever is woken up is often the first who asks: the outage did not begin with the question."""
    now = asyncio.get_running_loop().time()
    known = (True, now - 3600)
    away = True

    async def look() -> dict[str, object]:
        if away:
            raise Unavailable("redis", "refused")
        return {}

    check = Check(look, lambda: known)
    asked_first = await check.result()
    away = False
    await asyncio.sleep(FRESH_FOR)
    not_noticed_yet = await check.result()
    known = (False, asyncio.get_running_loop().time() - 0.5)
    back = await check.result()

    assert float(str(asked_first["seconds"])) >= 3600
    assert not_noticed_yet["status"] == "up"
    assert float(str(not_noticed_yet["seconds"])) < 60
    assert 0.5 <= float(str(back["seconds"])) < 60


async def test_a_check_that_saw_otherwise_since_then_believes_itself() -> None:
    """The actors may be late to notice: a server that hung for them to see a moment ago has not been up all night."""
    night_ago = asyncio.get_running_loop().time() - 3600
    away = True

    async def look() -> dict[str, object]:
        if away:
            raise Unavailable("redis", "refused")
        return {}

    check = Check(look, lambda: (False, night_ago))
    await check.result()
    away = False
    await asyncio.sleep(FRESH_FOR)

    assert float(str((await check.result())["seconds"])) < 60
