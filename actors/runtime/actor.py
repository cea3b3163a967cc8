"""The actor: what its author writes, and what the runtime gives it to work with."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from actors.runtime.address import Address

if TYPE_CHECKING:
    from actors.runtime.life import Life

M = TypeVar("M")
R = TypeVar("R")


class Actor(Generic[M]):
    """Subclass it. One instance lives from its start to its end; a restart makes a new instance.

    Its methods are called one at a time. Whatever one of them raises, a cancellation from elsewhere included, ends
    this instance; the message in its hands is not received again, the mailbox survives.
    """

    async def start(self, ctx: Context[M]) -> None:
        """Called before the first message."""

    async def receive(self, message: M) -> None:
        """Called for each message: one exhaustive `match` that ends in `assert_never`."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Called once when draining begins: stop taking work in, end what would run for ever.

        Then the mailbox closes for others, what is in it is received, and the tasks of this actor are awaited.
        """

    async def stop(self) -> None:
        """Called last, also after a crash: let go of what is held. Cut off after `life.STOP_WITHIN` seconds."""


class Timer(Generic[M]):
    """A message that an actor has sent to itself for later."""

    __slots__ = ("_handle", "_pending", "message")

    def __init__(self, message: M, pending: set[Timer[M]]) -> None:
        self.message = message
        self._pending = pending
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, handle: asyncio.TimerHandle) -> None:
        """Run with this handle, until the message is received or the timer is cancelled."""
        self._handle = handle
        self._pending.add(self)

    def cancel(self) -> None:
        """Make sure that the message is not received any more."""
        self._pending.discard(self)
        if self._handle is not None:
            self._handle.cancel()


class Context(Generic[M]):
    """What one instance of an actor may ask of the runtime."""

    __slots__ = ("_life", "name", "self")

    def __init__(self, name: str, address: Address[M], life: Life[M]) -> None:
        self.name = name
        self.self = address
        """Its own address, which stays open for it and its tasks while it drains."""
        self._life = life

    @property
    def draining(self) -> bool:
        """Whether the actor has been asked to finish; true from before its `drain` is called."""
        return self._life.cell.draining

    def after(self, seconds: float, message: M) -> Timer[M]:
        """Receive the message later, between two others. Re-arm it after the work: then a slow pass piles up nothing.

        It takes no room in the mailbox, so it waits for none. It belongs to this instance and is gone when that ends.
        It still fires while the actor drains, but the drain does not wait for it.
        """
        return self._life.after(seconds, message)

    def spawn(self, work: Coroutine[Any, Any, R], *, name: str, isolated: bool = False) -> asyncio.Task[R]:
        """Run a task that this actor owns and awaits when it drains.

        Its exception crashes the actor, and the crash of the actor cancels it; cancelling it yourself is no failure.
        An `isolated` task shares neither fate: its exception is reported as TaskFailed and touches nobody else, and it
        goes on through crashes and restarts, so it should tell its result to `ctx.self`, which is there for the next
        instance too. It is cancelled only when the actor has ended for good and its deadline is over.
        Raises Stopped when this instance has ended (isolated: when the actor has ended for good).
        """
        return self._life.cell.adopt(work, name) if isolated else self._life.own(work, name)

    def stop_self(self) -> None:
        """End normally after the message in hand: for transient and temporary children."""
        self._life.leave()
