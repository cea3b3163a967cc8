"""Concurrent calls share a round trip, but no delay, error or cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from service.adapters.batching import Batcher
from service.ports import Unavailable


class Server:
    """Doubles numbers when the test lets it answer, and records which numbers came together."""

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


async def ask(together: Batcher[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    """Start one task for each number."""
    tasks = [asyncio.ensure_future(_call(together, number)) for number in numbers]
    await asyncio.sleep(0)
    return tasks


async def _call(together: Batcher[int, int], number: int) -> int:
    return await together(number)


async def test_a_call_that_finds_nothing_under_way_goes_alone_and_the_others_together(server: Server) -> None:
    """No call waits to fill a batch."""
    together = Batcher(server.double, system="numbers", most=3, at_once=1)

    calls = await ask(together, 1, 2, 3, 4, 5)
    server.answer(3)

    assert await asyncio.gather(*calls) == [2, 4, 6, 8, 10]
    assert server.rounds == [[1], [2, 3, 4], [5]]


async def test_as_many_rounds_as_allowed_are_under_way_at_once(server: Server) -> None:
    """A slow answer must not delay all callers."""
    together = Batcher(server.double, system="numbers", most=10, at_once=2)

    calls = await ask(together, 1, 2, 3, 4)

    assert server.rounds == [[1], [2]]
    server.answer(4)
    assert await asyncio.gather(*calls) == [2, 4, 6, 8]
    assert await asyncio.gather(*await ask(together, 5), _later(server)) == [10, None]


async def _later(server: Server) -> None:
    server.answer()


async def test_a_mistake_is_its_callers_alone(server: Server) -> None:
    """One invalid document must not fail fifty requests."""
    together = Batcher(server.double, system="numbers", most=10, at_once=1)

    calls = await ask(together, 1, 2, 0, 3)
    server.answer(6)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [int, int, ZeroDivisionError, int]


async def test_the_item_at_fault_is_found_in_halves(server: Server) -> None:
    """In a batch of 500, one bad row costs 20 round trips instead of 500."""
    together = Batcher(server.double, system="numbers", most=500, at_once=1)
    numbers = [*range(1, 300), 0, *range(300, 500)]

    first, *calls = await ask(together, 1, *numbers)
    server.answer(1000)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert await first == 2
    assert [number for number, outcome in zip(numbers, outcomes, strict=True) if isinstance(outcome, Exception)] == [0]
    assert len(server.rounds) <= 20


async def test_an_outage_fails_all_callers(server: Server) -> None:
    """Single calls would each wait for the deadline."""
    together = Batcher(server.double, system="numbers", most=10, at_once=1)
    server.refuses = Unavailable("numbers", "away")

    calls = await ask(together, 1, 2, 3)
    server.answer(2)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [str(outcome) for outcome in outcomes] == [str(server.refuses)] * 3
    assert len({id(outcome) for outcome in outcomes}) == 3


async def test_a_caller_that_goes_away_while_waiting_is_left_out(server: Server) -> None:
    """Work without a waiting caller is dropped."""
    together = Batcher(server.double, system="numbers", most=10, at_once=1)
    first, gone, last = await ask(together, 1, 2, 3)

    gone.cancel()
    await asyncio.wait([gone])
    server.answer(2)

    assert [await first, await last] == [2, 6]
    assert server.rounds == [[1], [3]]


async def test_a_caller_that_goes_away_when_its_turn_has_come_hands_it_on(server: Server) -> None:
    """Otherwise all waiting callers would wait for ever."""
    together = Batcher(server.double, system="numbers", most=10, at_once=1)
    first, gone, last = await ask(together, 1, 2, 3)

    server.answer()
    await asyncio.sleep(0)  # the first goes on, and its last act is to hand over
    gone.cancel()
    server.answer()
    outcomes = await asyncio.gather(first, gone, last, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [int, asyncio.CancelledError, int]
    assert server.rounds == [[1], [3]]
    assert await asyncio.gather(*await ask(together, 4), _later(server)) == [8, None]


async def test_callers_of_halves_that_were_not_begun_get_an_error_too(server: Server) -> None:
    """An item at fault makes halves of the round, and the caller that runs them is cancelled in the first half."""
    together = Batcher(server.double, system="numbers", most=4, at_once=1)
    calls = await ask(together, 1, 2, 0, 3, 4)
    server.answer()
    await calls[0]
    await asyncio.sleep(0)
    server.answer()
    await asyncio.sleep(0)

    calls[1].cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [int, asyncio.CancelledError, *[Unavailable] * 3]


async def test_if_the_caller_that_runs_the_round_is_cancelled_the_others_get_an_error(server: Server) -> None:
    """Their outcome is unknown, and the next batch continues."""
    together = Batcher(server.double, system="numbers", most=2, at_once=1)
    calls = await ask(together, 1, 2, 3, 4)
    server.answer()
    await calls[0]
    await asyncio.sleep(0)

    calls[1].cancel()
    server.answer()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [int, asyncio.CancelledError, Unavailable, int]
