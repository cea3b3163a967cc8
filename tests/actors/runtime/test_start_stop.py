"""Random starts, crashes and ends of whole trees, under every strategy, leave no task behind."""

from __future__ import annotations

import asyncio

import pytest

from actors.runtime import Address, Backoff, ChildSpec, Context, Intensity, Pool, Strategy, Supervisor
from tests.actors.runtime.stage import Puppet
from tests.actors.runtime.start_stop import start_stop


class Busy(Puppet):
    """Has timers and tasks of both kinds, and yields to the loop in every method."""

    async def start(self, ctx: Context[object]) -> None:  # type: ignore[override]  # it receives anything
        """Begin to work."""
        self._consumer = ctx.spawn(asyncio.Event().wait(), name="consumer")
        ctx.spawn(asyncio.sleep(0.001), name="send", isolated=True)
        ctx.after(0.0, None)
        self._ctx = ctx
        await asyncio.sleep(0)

    async def receive(self, message: object) -> None:
        """Send something, and set another timer, until it drains."""
        if self._ctx.draining:
            return
        self._ctx.spawn(asyncio.sleep(0), name="send", isolated=True)
        await asyncio.sleep(0)
        self._ctx.after(0.0, None)

    async def drain(self) -> None:
        """Cancel the consumer."""
        self._consumer.cancel()

    async def stop(self) -> None:
        """Yield to the loop once."""
        await asyncio.sleep(0)


def tree(strategy: Strategy, intensity: Intensity) -> Supervisor:
    """Two levels and a pool."""

    def busy() -> Busy:
        return Busy([])

    backoff = Backoff(first=0.001)
    inner = Supervisor(
        "inner",
        [
            ChildSpec("second", busy, Address("second", 5)),
            ChildSpec("third", busy, Address("third", 5)),
        ],
        strategy=strategy,
        intensity=intensity,
        backoff=backoff,
    )
    return Supervisor(
        "outer",
        [
            ChildSpec("first", busy, Address("first", 5)),
            Pool("pool", lambda _: busy(), Address("pool", 5), size=3),
            inner,
            ChildSpec("last", busy, Address("last", 5)),
        ],
        strategy=strategy,
        intensity=intensity,
        backoff=backoff,
    )


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("restarts", [0, 1, 20])
async def test_a_tree_leaves_nothing_behind_in_any_order_of_events(strategy: Strategy, restarts: int) -> None:
    """Every long-lived thing passes the same stress test."""
    await start_stop(lambda: tree(strategy, Intensity(restarts=restarts, within=60.0)), rounds=60, seed=restarts)
