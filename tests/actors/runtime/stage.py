"""What the tests of the runtime share: an actor that does what a test tells it, and an observer to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from actors.runtime import Actor, Address, Backoff, ChildSpec, Context, Event, Reply, Restart, Supervisor

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
    """Write a word into the journal."""

    async def do(puppet: Puppet) -> None:
        puppet.journal.append(word)

    return do


def answer(reply: Reply[str], word: str) -> Do:
    """Write the word into the journal, and answer with it."""

    async def do(puppet: Puppet) -> None:
        puppet.journal.append(word)
        reply.set(word)

    return do


class Gate:
    """A place in the work of a puppet that a test waits for, and holds it at."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, _: Puppet) -> None:
        """Stand at the gate."""
        self.reached.set()
        await self.opened.wait()


class Puppet(Actor[Do]):
    """Does what its messages say, and writes its life into a journal that it shares with its other lives."""

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
        """Note it, then do what this test wants."""
        self.ctx = ctx
        self.journal.append(f"start {self._name}".strip())
        await self._on_start(self)

    async def receive(self, message: Do) -> None:
        """Do it."""
        await message(self)

    async def drain(self) -> None:
        """Note it, then do what this test wants."""
        self.journal.append(f"drain {self._name}".strip())
        await self._on_drain(self)

    async def stop(self) -> None:
        """Note it, then do what this test wants."""
        self.journal.append(f"stop {self._name}".strip())
        await self._on_stop(self)


class Observer:
    """Collects the events of a tree, and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """Take note."""
        self.events.append(event)
        self._news.set()

    def of(self, kind: type[E], actor: str | None = None) -> list[E]:
        """The events of this kind so far, of all actors or of one."""
        return [event for event in self.events if isinstance(event, kind) and actor in (None, event.actor)]

    async def until(self, kind: type[E], actor: str | None = None, *, times: int = 1) -> E:
        """Wait for so many events of this kind, and return the last of them."""
        async with asyncio.timeout(10):
            while len(self.of(kind, actor)) < times:
                self._news.clear()
                await self._news.wait()
        return self.of(kind, actor)[times - 1]


class Naps:
    """A sleep that a test ends, and that remembers for how long somebody wanted to sleep."""

    def __init__(self) -> None:
        self.wanted: list[float] = []
        self._sleeping: list[asyncio.Future[None]] = []
        self._begun = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        """Sleep until the test says so."""
        self.wanted.append(seconds)
        nap: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append(nap)
        self._begun.set()
        await nap

    async def begun(self) -> None:
        """Wait until somebody sleeps."""
        await self._begun.wait()

    def end(self) -> None:
        """Wake everybody."""
        for nap in self._sleeping:
            if not nap.done():
                nap.set_result(None)
        self._begun.clear()


class Stage:
    """One puppet under a supervisor, with all that a test needs to play it."""

    def __init__(
        self,
        *,
        capacity: int = 10,
        restart: Restart = Restart.PERMANENT,
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
                    restart=restart,
                    drain_within=drain_within,
                )
            ],
            backoff=AT_ONCE,
            on_event=self.observer,
        )

    async def heard(self, word: str = "heard") -> str:
        """Wait until the puppet has received everything told before."""
        return await self.address.ask(lambda reply: answer(reply, word), within=10)


async def turns(count: int = 5) -> None:
    """Let everybody else run for some turns of the loop, to show that nothing happens meanwhile."""
    for _ in range(count):
        await asyncio.sleep(0)
