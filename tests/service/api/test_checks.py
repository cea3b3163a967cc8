"""A check of a server has a deadline, and runs at most once a second for all requests."""

from __future__ import annotations

import asyncio

from service.api.health_checks import HEALTH_CHECK_CACHE_SECONDS, HEALTH_CHECK_TIMEOUT, HealthCheck
from service.ports import Unavailable
from tests.service.node.steady import Steady
from tests.stopwatch import Stopwatch


async def test_concurrent_requests_share_one_check() -> None:
    """Dashboards on many screens must not be a load on a server in trouble."""
    looks = 0

    async def look() -> dict[str, object]:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return {"ping": 0.01}

    check = HealthCheck(look)

    results = await asyncio.gather(*(check.result() for _ in range(50)))

    assert looks == 1
    assert {result["status"] for result in results} == {"up"}


async def test_a_server_that_hangs_is_down_for_every_request_within_two_seconds() -> None:
    """A second request must not wait for a second deadline."""

    async def hang() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    check = HealthCheck(hang)
    watch = Stopwatch()

    results = await asyncio.gather(*(check.result() for _ in range(5)))

    assert watch.seconds() < 2
    assert {str(result["reason"]) for result in results} == {f"no answer within {HEALTH_CHECK_TIMEOUT:g} s"}


async def test_a_check_says_for_how_long_it_has_been_so() -> None:
    """The person on call must know if an outage is a second or a night old."""
    steady, away = Steady(), False

    async def look() -> dict[str, object]:
        if away:
            raise Unavailable("redis", "refused")
        return {}

    check = HealthCheck(look, steady=steady)
    await check.result()
    steady.passes(HEALTH_CHECK_CACHE_SECONDS)
    up = await check.result()
    away = True
    steady.passes(HEALTH_CHECK_CACHE_SECONDS)

    down = await check.result()

    assert (up["status"], down["status"]) == ("up", "down")
    assert (up["seconds"], down["seconds"]) == (HEALTH_CHECK_CACHE_SECONDS, 0)


async def test_a_check_takes_the_start_of_an_outage_from_the_actors() -> None:
    """The outage began before the first health request. The actors noticed its start."""
    steady = Steady()
    known = (True, steady.at - 3600)
    away = True

    async def look() -> dict[str, object]:
        if away:
            raise Unavailable("redis", "refused")
        return {}

    check = HealthCheck(look, lambda: known, steady=steady)
    asked_first = await check.result()
    away = False
    steady.passes(HEALTH_CHECK_CACHE_SECONDS)
    not_noticed_yet = await check.result()
    known = (False, steady.at - 0.5)
    back = await check.result()

    assert asked_first["seconds"] == 3600
    assert (not_noticed_yet["status"], not_noticed_yet["seconds"]) == ("up", 0)
    assert back["seconds"] == 0.5


async def test_a_check_with_a_newer_opposite_result_uses_its_own_time() -> None:
    """Actors may be slow to notice an outage, so a server that just hung has not been up all night."""
    steady = Steady()
    night_ago = steady.at - 3600
    away = True

    async def look() -> dict[str, object]:
        if away:
            raise Unavailable("redis", "refused")
        return {}

    check = HealthCheck(look, lambda: (False, night_ago), steady=steady)
    await check.result()
    away = False
    steady.passes(HEALTH_CHECK_CACHE_SECONDS)

    assert (await check.result())["seconds"] == 0
