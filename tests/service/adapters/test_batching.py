"""Calls at the same time share a round trip, and nothing else: no delay, no mistake, no cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from service.adapters.together import Together
from service.ports import Unavailable


class Server:
    """Doubles numbers when it is told to answer; remembers who was asked about together."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.answers = asyncio.Semaphore(0)
        self.refuses: Exception | None = None

    async def double(self, numbers: list[int]) -> Sequence[int]:
        self.rounds.append(numbers)
        await self.answers.acquire()
        if self.refuses is not None:
            raise self.refuses
        if 0 in numbers:
            raise ZeroDivisionError
        return [2 * number for number in numbers]

    def answer(self, times: int = 1) -> None:
        for _ in range(times):
            self.answers.release()


@pytest.fixture
def server() -> Server:
    return Server()


async def ask(together: Together[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    """One task for each number, all waiting."""
    tasks = [asyncio.ensure_future(_call(together, number)) for number in numbers]
    await asyncio.sleep(0)
    return tasks


async def _call(together: Together[int, int], number: int) -> int:
    return await together(number)


async def test_a_call_that_finds_nothing_under_way_goes_alone_and_the_others_together(server: Server) -> None:
    """Nothing is waited for to fill a round."""
    together = Together(server.double, system="numbers", most=3, at_once=1)

    calls = await ask(together, 1, 2, 3, 4, 5)
    server.answer(3)

    assert await asyncio.gather(*calls) == [2, 4, 6, 8, 10]
    assert server.rounds == [[1], [2, 3, 4], [5]]


async def test_as_many_rounds_as_allowed_are_under_way_at_once(server: Server) -> None:
    """A server that is far away is not waited for by everybody."""
    together = Together(server.double, system="numbers", most=10, at_once=2)

    calls = await ask(together, 1, 2, 3, 4)

    assert server.rounds == [[1], [2]]
    server.answer(4)
    assert await asyncio.gather(*calls) == [2, 4, 6, 8]
    assert await asyncio.gather(*await ask(together, 5), _later(server)) == [10, None]


async def _later(server: Server) -> None:
    server.answer()


async def test_a_mistake_is_its_callers_alone(server: Server) -> None:
    """One document that nobody foresaw must not make fifty requests fail."""
    together = Together(server.double, system="numbers", most=10, at_once=1)

    calls = await ask(together, 1, 2, 0, 3)
    server.answer(5)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [int, int, ZeroDivisionError, int]


async def test_an_outage_is_everybodys(server: Server) -> None:
    """Asking one by one would wait for the deadline as many times."""
    together = Together(server.double, system="numbers", most=10, at_once=1)
    server.refuses = Unavailable("numbers", "away")

    calls = await ask(together, 1, 2, 3)
    server.answer(2)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [str(outcome) for outcome in outcomes] == [str(server.refuses)] * 3
    assert len({id(outcome) for outcome in outcomes}) == 3


async def test_a_caller_that_goes_away_while_waiting_is_left_out(server: Server) -> None:
    """What nobody wants any more is not done."""
    together = Together(server.double, system="numbers", most=10, at_once=1)
    first, gone, last = await ask(together, 1, 2, 3)

    gone.cancel()
    await asyncio.wait([gone])
    server.answer(2)

    assert [await first, await last] == [2, 6]
    assert server.rounds == [[1], [3]]


async def test_a_caller_that_goes_away_when_its_turn_has_come_hands_it_on(server: Server) -> None:
    """Else all who wait would wait for ever."""
    together = Together(server.double, system="numbers", most=10, at_once=1)
    first, gone, last = await ask(together, 1, 2, 3)

    server.answer()
    await asyncio.sleep(0)  # the first goes on, and its last act is to hand over
    gone.cancel()
    server.answer()
    outcomes = await asyncio.gather(first, gone, last, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [int, asyncio.CancelledError, int]
    assert server.rounds == [[1], [3]]
    assert await asyncio.gather(*await ask(together, 4), _later(server)) == [8, None]


async def test_when_the_one_who_asks_for_all_is_stopped_the_others_are_told(server: Server) -> None:
    """They do not know whether it was done, and the next round goes on."""
    together = Together(server.double, system="numbers", most=2, at_once=1)
    calls = await ask(together, 1, 2, 3, 4)
    server.answer()
    await calls[0]
    await asyncio.sleep(0)

    calls[1].cancel()
    server.answer()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [int, asyncio.CancelledError, Unavailable, int]
