"""The address: how messages reach an actor, and answers come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from actors.runtime.errors import ActorError, ActorFailed
from actors.runtime.mailbox import Mailbox

M = TypeVar("M")
R = TypeVar("R")


class Reply(Generic[R]):
    """Where the answer to an ask goes; it travels inside the message. Only the first answer counts.

    Made inside a running event loop. Awaiting it gives the answer, which is how a test of an actor reads it.
    """

    __slots__ = ("_answer",)

    def __init__(self) -> None:
        self._answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def set(self, value: R) -> None:
        """Answer. Without effect when the asker has gone or was answered before."""
        if not self._answer.done():
            self._answer.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Let the asker's `ask` raise this error. What is not an Exception, such as a cancellation, is wrapped."""
        if not self._answer.done():
            wrap = isinstance(error, StopIteration) or not isinstance(error, Exception)
            self._answer.set_exception(ActorFailed("the actor", error) if wrap else error)
            self._answer.exception()  # seen: an asker cancelled in this turn will not look at it

    @property
    def awaited(self) -> bool:
        """False once it was answered, or the asker has given up."""
        return not self._answer.done()

    def __await__(self) -> Generator[Any, None, R]:
        return self._answer.__await__()


@dataclass(frozen=True, slots=True)
class Asked(Generic[M]):
    """A message together with its reply, so that the runtime can fail the ask whose message is lost."""

    message: M
    reply: Reply[Any]


class Address(Generic[M]):
    """Where messages for an actor, or for the cells of a pool, are left. It is made before them and outlives them."""

    __slots__ = ("mailbox", "name")
    _inside: ClassVar[bool] = False

    def __init__(self, name: str, capacity: int) -> None:
        """Make an address whose mailbox holds `capacity` messages. Raises ValueError when that is less than one."""
        self.name = name
        self.mailbox: Mailbox[M | Asked[M]] = Mailbox(name, capacity)

    async def tell(self, message: M) -> None:
        """Leave a message, waiting while the mailbox is full: that is the back-pressure.

        Raises Stopped once the actor drains or has ended; MailboxFull when an actor would wait for itself.
        """
        await self.mailbox.put(message, inside=self._inside)

    def offer(self, message: M) -> bool:
        """Leave a message if there is room now; False when the mailbox is full or closed."""
        return self.mailbox.offer(message, inside=self._inside)

    async def ask(self, make: Callable[[Reply[R]], M], *, within: float) -> R:
        """Leave the message that `make` builds around a reply, and wait for the answer, `within` seconds in all.

        A message whose asker has given up is dropped if the actor has not begun on it.
        Raises TimeoutError; Stopped when the actor has ended or ends before its turn comes; ActorFailed as soon as it
        crashes on this message; and what the actor hands to `Reply.fail`.
        """
        reply: Reply[R] = Reply()
        async with asyncio.timeout(within):
            await self.mailbox.put(Asked(make(reply), reply), inside=self._inside)
            return await reply

    @property
    def depth(self) -> int:
        """How many messages wait in the mailbox."""
        return len(self.mailbox)

    @property
    def capacity(self) -> int:
        """How many messages the mailbox holds before senders wait."""
        return self.mailbox.capacity

    def __repr__(self) -> str:
        return f"<Address {self.name} {self.depth}/{self.capacity}>"


class OwnAddress(Address[M]):
    """The same mailbox for the actor itself and its tasks: open until they have finished, also while it drains."""

    __slots__ = ()
    _inside = True

    def __init__(self, address: Address[M]) -> None:
        self.name = address.name
        self.mailbox = address.mailbox


def lose(entry: object, error: ActorError) -> None:
    """Fail the ask, if it was one, whose message will not be received."""
    if isinstance(entry, Asked):
        entry.reply.fail(error)
