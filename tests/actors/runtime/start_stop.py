"""A stress test for any tree of actors: random starts, crashes and ends leave no task behind.

Use it for your own actors:

    await start_stop(lambda: Supervisor("test", [ChildSpec("mine", make_mine, Address("mine", 10))]))
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress

from actors.runtime import ActorState, ChildView, Stopped, Supervisor, TooManyRestarts


async def start_stop(make: Callable[[], Supervisor], *, rounds: int = 50, seed: int = 0) -> None:
    """Make a tree again and again and, in each round, start it, let random actors crash, and end it in a random way.

    An actor is made to crash by cancelling its task, as a library would that loses its connection. Raises
    AssertionError, naming the round and what was done in it, when a task is left, or the tree does not end, or does not
    come up again after a crash.
    """
    chance = random.Random(seed)
    bystanders = asyncio.all_tasks()
    for number in range(rounds):
        story = f"round {number} of seed {seed}:"
        supervisor = make()
        running = asyncio.ensure_future(supervisor.run())
        try:
            async with asyncio.timeout(20):
                for _ in range(chance.randrange(4)):
                    await _turns(chance.randrange(40))
                    story += f" {_crash_one_of(supervisor.view(), chance)} crashes;"
                if chance.random() < 0.5:
                    story += " all are up again;"
                    while not (running.done() or _is_up(supervisor.view())):
                        await _turns(1)
                else:
                    await _turns(chance.randrange(40))
                ending = chance.choice(
                    ["drains", "drains twice", "drain cancelled", "run cancelled", "drains in no time"]
                )
                story += f" {ending}"
                await _end(ending, supervisor, running, chance)
                with suppress(asyncio.CancelledError, TooManyRestarts):
                    await running
        except TimeoutError:
            raise AssertionError(f"{story}: it does not come up, or to its end") from None
        left = asyncio.all_tasks() - bystanders
        assert not left, f"{story}: left behind are {sorted(task.get_name() for task in left)}"


async def _end(ending: str, supervisor: Supervisor, running: asyncio.Future[None], chance: random.Random) -> None:
    drains = [] if ending == "run cancelled" else [asyncio.ensure_future(supervisor.drain(_time_for(ending)))]
    if ending == "drains twice":
        drains.append(asyncio.ensure_future(supervisor.drain(10.0)))
    if ending == "drain cancelled":
        await _turns(1 + chance.randrange(12))  # one, so that it has begun
        drains[0].cancel()
    if ending == "run cancelled":
        running.cancel()
    for drain in drains:
        with suppress(asyncio.CancelledError, Stopped):
            await drain


def _time_for(ending: str) -> float:
    return 0.0 if ending == "drains in no time" else 10.0


def _crash_one_of(tree: ChildView, chance: random.Random) -> str:
    names = list(_actors(tree))
    name = chance.choice(names)
    for task in asyncio.all_tasks():
        if task.get_name() == name:
            task.cancel()
    return name


def _is_up(tree: ChildView) -> bool:
    return tree.state is ActorState.RUNNING and all(_is_up(child) for child in tree.children)


def _actors(tree: ChildView) -> Iterator[str]:
    if tree.kind == "actor":
        yield tree.name
    for child in tree.children:
        yield from _actors(child)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
