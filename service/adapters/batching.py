"""Request coalescing: one round trip, and one commit, for calls that come at the same time.

A call that finds no round under way starts one at once. Calls that come in meanwhile wait, and share the next round.
No task runs in between: the first of the waiting callers runs the next round for all of them.
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
    """One caller's item, and its result or error."""

    __slots__ = ("error", "item", "result", "turn")

    def __init__(self, item: Item, system: str) -> None:
        self.item = item
        self.turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """True when the caller runs the next round; False when it has been answered."""
        self.result: Result
        self.error: Exception | None = Unavailable(system, "given up half-way")  # until it is answered

    def answer(self) -> Result:
        """The result. Raises the error."""
        if self.error is not None:
            raise self.error
        return self.result


class Batcher(Generic[Item, Result]):
    """Calls `work` with up to `most` items, and up to `at_once` times at the same time.

    `work` returns the result of each item in order, or raises and has done nothing. All callers of a round get its
    Unavailable. After any other error `work` runs for each half of the round, so that only the item at fault fails.
    `system` names the server that `work` asks.
    """

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
        """The result of this item. Raises what `work` raises for it."""
        call: _Call[Item, Result] = _Call(item, self._system)
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
        """Let the first waiting caller run the next round."""
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
                call.error = outage.anew()
        except Exception as error:
            if len(round_) == 1:
                round_[0].error = error
            else:
                middle = len(round_) // 2
                await self._do(round_[:middle])
                await self._do(round_[middle:])
        else:
            for call, result in zip(round_, results, strict=True):
                call.result, call.error = result, None
