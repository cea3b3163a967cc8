"""The base class of actors, and the context that the runtime gives to each instance."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from actors.runtime.address import Address

if TYPE_CHECKING:
    from actors.runtime.actor_instance import ActorInstance

M = TypeVar("M")
R = TypeVar("R")


class Actor(Generic[M]):
    """The base class of actors. A restart makes a new instance.

    The methods are called one at a time. An exception in any of them ends the instance, and so does a cancellation from
    elsewhere. The message that it was receiving is not received again; the mailbox survives.
    """

    async def start(self, ctx: Context[M]) -> None:
        """Called before the first message."""

    async def receive(self, message: M) -> None:
        """Called for each message. Write one exhaustive `match` that ends in `assert_never`."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Called once when draining begins: stop to take in work, and end tasks that have no end.

        Then the mailbox is closed for others, its messages are received, and the tasks of this actor are awaited.
        """

    async def stop(self) -> None:
        """Called last, also after a crash: release resources. Cancelled after `actor_instance.STOP_TIMEOUT` seconds."""


class Timer(Generic[M]):
    """A message that an actor sends to itself for later."""

    __slots__ = ("_handle", "_pending", "message")

    def __init__(self, message: M, pending: set[Timer[M]]) -> None:
        self.message = message
        self._pending = pending
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, handle: asyncio.TimerHandle) -> None:
        """Run with this handle until the message is received or the timer is cancelled."""
        self._handle = handle
        self._pending.add(self)

    def cancel(self) -> None:
        """Make sure that the message is not received."""
        self._pending.discard(self)
        if self._handle is not None:
            self._handle.cancel()


class Context(Generic[M]):
    """The runtime as one instance of an actor sees it."""

    __slots__ = ("_instance", "name", "self")

    def __init__(self, name: str, address: Address[M], instance: ActorInstance[M]) -> None:
        self.name = name
        self.self = address
        """The actor's own address. It stays open for the actor and its tasks while it drains."""
        self._instance = instance

    @property
    def draining(self) -> bool:
        """True once the actor drains, already before its `drain` is called."""
        return self._instance.cell.draining

    def after(self, seconds: float, message: M) -> Timer[M]:
        """Receive the message after so many seconds. Arm it again after the work, so that slow passes do not pile up.

        It needs no room in the mailbox. It belongs to this instance and ends with it. It fires while the actor drains,
        but the drain does not wait for it.
        """
        return self._instance.after(seconds, message)

    def spawn(self, work: Coroutine[Any, Any, R], *, name: str, isolated: bool = False) -> asyncio.Task[R]:
        """Run a task that this actor owns and awaits when it drains.

        An exception of the task crashes the actor, and a crash of the actor cancels the task. To cancel it yourself is
        no failure.

        An `isolated` task is independent of crashes. Its exception is reported as TaskFailed. It continues through
        crashes and restarts, so it should send its result to `ctx.self`, which the next instance reads, too. It is
        cancelled only when the actor has ended for good and its deadline is over.

        Raises Stopped when this instance has ended, or, for an isolated task, when the actor has ended for good.
        """
        return self._instance.cell.adopt(work, name) if isolated else self._instance.own(work, name)
