"""Shared by the tests of the runtime: an actor that runs what a test sends it, and an observer to wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from actors.runtime import Actor, Address, Backoff, ChildSpec, Context, Event, Reply, Supervisor

E = TypeVar("E", bound=Event)

Do = Callable[["Puppet"], Awaitable[None]]
"""The message of a puppet: what it is to do while it receives it."""

AT_ONCE = Backoff(random=lambda: 0.0)
"""Restart without waiting."""


async def nothing(_: Puppet) -> None:
    """Do nothing."""


async def crash(_: Puppet) -> None:
    """Fail."""
    raise ValueError("told to crash")


async def hang(_: Puppet) -> None:
    """Never return."""
    await asyncio.Event().wait()


def say(word: str) -> Do:
    """Write a word to the journal."""

    async def do(puppet: Puppet) -> None:
        puppet.journal.append(word)

    return do


def answer(reply: Reply[str], word: str) -> Do:
    """Write the word to the journal, and answer with it."""

    async def do(puppet: Puppet) -> None:
        puppet.journal.append(word)
        reply.set(word)

    return do


class Gate:
    """A point in the work of a puppet at which a test can wait for it and stop it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, _: Puppet) -> None:
        """Wait at the gate."""
        self.reached.set()
        await self.opened.wait()


class Puppet(Actor[Do]):
    """Runs its messages, and writes its lifecycle to a journal that all its instances share."""

    def __init__(
        self,
        journal: list[str],
        *,
        name: str = "",
        on_start: Do = nothing,
        on_drain: Do = nothing,
        on_stop: Do = nothing,
    ) -> None:
        self.journal = journal
        self._name = name
        self._on_start, self._on_drain, self._on_stop = on_start, on_drain, on_stop

    async def start(self, ctx: Context[Do]) -> None:
        """Write it to the journal, then run the code that the test gave."""
        self.ctx = ctx
        self.journal.append(f"start {self._name}".strip())
        await self._on_start(self)

    async def receive(self, message: Do) -> None:
        """Run the message."""
        await message(self)

    async def drain(self) -> None:
        """Write it to the journal, then run the code that the test gave."""
        self.journal.append(f"drain {self._name}".strip())
        await self._on_drain(self)

    async def stop(self) -> None:
        """Write it to the journal, then run the code that the test gave."""
        self.journal.append(f"stop {self._name}".strip())
        await self._on_stop(self)


class Observer:
    """Collects the events of a tree, and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """Record the event."""
        self.events.append(event)
        self._news.set()

    def of(self, kind: type[E], actor: str | None = None) -> list[E]:
        """Return the events of this kind so far, of all actors or of one."""
        return [event for event in self.events if isinstance(event, kind) and actor in (None, event.actor)]

    async def until(self, kind: type[E], actor: str | None = None, *, times: int = 1) -> E:
        """Wait for this many events of this kind, and return the last of them."""
        async with asyncio.timeout(10):
            while len(self.of(kind, actor)) < times:
                self._news.clear()
                await self._news.wait()
        return self.of(kind, actor)[times - 1]


class Naps:
    """A sleep that a test ends. It records the requested seconds."""

    def __init__(self) -> None:
        self.wanted: list[float] = []
        self._sleeping: list[asyncio.Future[None]] = []
        self._begun = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        """Sleep until the test ends it."""
        self.wanted.append(seconds)
        nap: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append(nap)
        self._begun.set()
        await nap

    async def begun(self) -> None:
        """Wait until a caller sleeps."""
        await self._begun.wait()

    def end(self) -> None:
        """Wake all callers."""
        for nap in self._sleeping:
            if not nap.done():
                nap.set_result(None)
        self._begun.clear()


class Stage:
    """One puppet under a supervisor, with everything that a test needs to control it."""

    def __init__(
        self,
        *,
        capacity: int = 10,
        drain_within: float = 10.0,
        on_start: Do = nothing,
        on_drain: Do = nothing,
        on_stop: Do = nothing,
    ) -> None:
        self.journal: list[str] = []
        self.observer = Observer()
        self.address: Address[Do] = Address("puppet", capacity)
        self.supervisor = Supervisor(
            "stage",
            [
                ChildSpec(
                    "puppet",
                    lambda: Puppet(self.journal, on_start=on_start, on_drain=on_drain, on_stop=on_stop),
                    self.address,
                    drain_within=drain_within,
                )
            ],
            backoff=AT_ONCE,
            on_event=self.observer,
        )

    async def heard(self, word: str = "heard") -> str:
        """Wait until the puppet has received every earlier message."""
        return await self.address.ask(lambda reply: answer(reply, word), within=10)


async def turns(count: int = 5) -> None:
    """Let all other tasks run for this many turns of the loop, to show that nothing happens."""
    for _ in range(count):
        await asyncio.sleep(0)


async def timers_fired(seconds: float = 0.0) -> None:
    """Wait until every earlier timer of at most this many seconds has fired."""
    loop = asyncio.get_running_loop()
    fired = loop.create_future()
    loop.call_later(seconds + 2 * time.get_clock_info("monotonic").resolution + 1e-6, fired.set_result, None)
    await fired
