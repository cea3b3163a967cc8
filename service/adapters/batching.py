"""Does at once what several callers ask for at the same time: one round trip, and one commit, for all of them.

While a call is under way those that come in wait for the next, which is for all of them. Nothing is ever waited for
beyond that: a caller who finds nothing under way goes alone, at once. No task runs in between: of those who wait, the
first does the next round for itself and the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from service.ports import Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Call(Generic[Item, Result]):
    """What one caller asked for, and what came of it."""

    __slots__ = ("error", "item", "result", "turn")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the caller is to do the next round; else it has been answered."""
        self.result: Result
        self.error: Exception | None = None

    def answer(self) -> Result:
        """The result. Raises what came instead."""
        if self.error is not None:
            raise self.error
        return self.result


class Together(Generic[Item, Result]):
    """`work` is given items and returns the result of each, all or none; it is called for up to `most` items, and
    `at_once` times at once. An outage is everybody's. What one item alone may be the cause of is found out one by one,
    so that nobody suffers for another. `system` is what `work` asks."""

    def __init__(
        self, work: Callable[[list[Item]], Awaitable[Sequence[Result]]], *, system: str, most: int, at_once: int
    ) -> None:
        self._work = work
        self._system = system
        self._most = most
        self._at_once = at_once
        self._under_way = 0
        self._waiting: deque[_Call[Item, Result]] = deque()

    async def __call__(self, item: Item) -> Result:
        """The result of this item. Raises what `work` raises."""
        call: _Call[Item, Result] = _Call(item)
        if self._under_way < self._at_once:
            self._under_way += 1
        elif not await self._turn(call):
            return call.answer()
        round_ = [call, *(self._waiting.popleft() for _ in range(min(self._most - 1, len(self._waiting))))]
        try:
            await self._do(round_)
        finally:
            self._hand_over()
            for other in round_:
                if not other.turn.done():
                    other.turn.set_result(False)
        return call.answer()

    async def _turn(self, call: _Call[Item, Result]) -> bool:
        self._waiting.append(call)
        try:
            return await call.turn
        except asyncio.CancelledError:
            with suppress(ValueError):  # it is part of a round already
                self._waiting.remove(call)
            if not call.turn.cancelled() and call.turn.result():
                self._hand_over()
            raise

    def _hand_over(self) -> None:
        """Let the first of those who wait do the next round."""
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_result(True)
                return
        self._under_way -= 1

    async def _do(self, round_: list[_Call[Item, Result]]) -> None:
        try:
            results = await self._work([call.item for call in round_])
        except Unavailable as outage:
            for call in round_:
                call.error = Unavailable(outage.system, outage.reason)
        except Exception as error:
            if len(round_) == 1:
                round_[0].error = error
            else:
                for call in round_:
                    await self._do([call])
        except BaseException:
            for call in round_:
                call.error = Unavailable(self._system, "given up half-way")
            raise
        else:
            for call, result in zip(round_, results, strict=True):
                call.result = result
