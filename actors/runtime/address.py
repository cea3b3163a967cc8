"""The address of an actor: messages go in, and replies come back."""

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
    """The answer to an ask; it travels inside the message. Only the first answer counts.

    It is made inside a running event loop. To await it gives the answer, which is useful in tests.
    """

    __slots__ = ("_answer",)

    def __init__(self) -> None:
        self._answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def set(self, value: R) -> None:
        """Answer. It has no effect when the caller has gone, or was answered before."""
        if not self._answer.done():
            self._answer.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Make the caller's `ask` raise this error. What is no Exception, such as a cancellation, is wrapped."""
        if not self._answer.done():
            wrap = isinstance(error, StopIteration) or not isinstance(error, Exception)
            self._answer.set_exception(ActorFailed("the actor", error) if wrap else error)
            self._answer.exception()  # mark as retrieved: a caller that is cancelled just now does not

    @property
    def awaited(self) -> bool:
        """False after the answer, or when the caller has given up."""
        return not self._answer.done()

    def __await__(self) -> Generator[Any, None, R]:
        return self._answer.__await__()


@dataclass(frozen=True, slots=True)
class Envelope(Generic[M]):
    """A message with its reply, so that the runtime can fail the ask when the message is lost."""

    message: M
    reply: Reply[Any]


class Address(Generic[M]):
    """The address of an actor, or of the cells of a pool. It is made before them and outlives them."""

    __slots__ = ("mailbox", "name")
    _inside: ClassVar[bool] = False

    def __init__(self, name: str, capacity: int) -> None:
        """Make an address whose mailbox holds `capacity` messages. Raises ValueError when that is less than one."""
        self.name = name
        self.mailbox: Mailbox[M | Envelope[M]] = Mailbox(name, capacity)

    async def tell(self, message: M) -> None:
        """Send a message; wait while the mailbox is full, which is the back-pressure.

        Raises Stopped when the actor drains or has ended; MailboxFull when an actor would wait for itself.
        """
        await self.mailbox.put(message, inside=self._inside)

    def offer(self, message: M) -> bool:
        """Send a message if there is room now; return False when the mailbox is full or closed."""
        return self.mailbox.offer(message, inside=self._inside)

    async def ask(self, make: Callable[[Reply[R]], M], *, within: float) -> R:
        """Send the message that `make` builds around a reply, and wait for the answer, `within` seconds in all.

        A message whose caller has given up is dropped, unless the actor has begun to work on it.
        Raises TimeoutError; Stopped when the actor has ended, or ends before it receives the message; ActorFailed as
        soon as it crashes on this message; and the error that the actor gives to `Reply.fail`.
        """
        reply: Reply[R] = Reply()
        async with asyncio.timeout(within):
            await self.mailbox.put(Envelope(make(reply), reply), inside=self._inside)
            return await reply

    @property
    def depth(self) -> int:
        """The number of messages in the mailbox."""
        return len(self.mailbox)

    @property
    def capacity(self) -> int:
        """The number of messages that the mailbox holds before senders wait."""
        return self.mailbox.capacity

    def __repr__(self) -> str:
        return f"<Address {self.name} {self.depth}/{self.capacity}>"


class OwnAddress(Address[M]):
    """The address of an actor for itself and its tasks: it stays open while the actor drains."""

    __slots__ = ()
    _inside = True

    def __init__(self, address: Address[M]) -> None:
        self.name = address.name
        self.mailbox = address.mailbox


def fail_ask(entry: object, error: ActorError) -> None:
    """Fail the ask whose message is never received, if the entry is an ask."""
    if isinstance(entry, Envelope):
        entry.reply.fail(error)
