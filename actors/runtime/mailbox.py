"""The mailbox: a bounded queue with back-pressure. Senders and receivers are served in the order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from enum import Enum, IntEnum
from typing import Final, Generic, TypeVar

from actors.runtime.errors import MailboxFull, Stopped

E = TypeVar("E")


class WakeUp(Enum):
    """The result of a wait that ends without an entry: the receiver has something else to do."""

    WOKEN = "woken"


WOKEN: Final = WakeUp.WOKEN


class Gate(IntEnum):
    """The senders that a mailbox accepts."""

    OPEN = 0
    INSIDE = 1  # only the actor and its own tasks, which finish their work while the actor drains
    SEALED = 2


class Mailbox(Generic[E]):
    """A bounded queue of entries, with one receiver or the several of a pool.

    Two invariants hold: while a receiver waits, there is no entry; while a sender waits, the mailbox is full. So no
    sender and no receiver overtakes another that waits.
    """

    def __init__(self, name: str, capacity: int) -> None:
        """Make a mailbox for at most `capacity` entries. Raises ValueError when that is less than one."""
        if capacity < 1:
            raise ValueError(f"the mailbox of {name} needs a capacity of at least 1, not {capacity}")
        self.name = name
        self.capacity = capacity
        self.readers: set[asyncio.Task[None]] = set()
        self._gate = Gate.OPEN
        self._entries: deque[E] = deque()
        self._receivers: deque[asyncio.Future[E | WakeUp]] = deque()
        self._senders: deque[tuple[asyncio.Future[None], E, bool]] = deque()

    def __len__(self) -> int:
        """The number of entries that wait to be received."""
        return len(self._entries)

    def offer(self, entry: E, *, inside: bool = False) -> bool:
        """Give the entry to a waiting receiver, or store it; return False when the mailbox is full or closed."""
        if self._gate > inside:
            return False
        if self._hand_over(entry):
            return True
        if len(self._entries) >= self.capacity:
            return False
        self._entries.append(entry)
        return True

    async def put(self, entry: E, *, inside: bool = False) -> None:
        """Like `offer`, but wait for room. A cancellation at the moment of acceptance may come after the delivery.

        Raises Stopped when the mailbox is closed, or becomes so during the wait; MailboxFull when a reader of this
        mailbox would wait for itself.
        """
        if self.offer(entry, inside=inside):
            return
        if self._gate > inside:
            raise Stopped(self.name)
        if asyncio.current_task() in self.readers:
            raise MailboxFull(self.name)
        place = (asyncio.get_running_loop().create_future(), entry, inside)
        self._senders.append(place)
        try:
            await place[0]
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._senders.remove(place)
            raise

    def take(self) -> E:
        """Take the oldest entry and let waiting senders in. Raises IndexError when the mailbox is empty."""
        entry = self._entries.popleft()
        while self._senders and len(self._entries) < self.capacity:
            room, waiting, _ = self._senders.popleft()
            if not room.done():
                room.set_result(None)
                self._entries.append(waiting)
        return entry

    def arrival(self) -> asyncio.Future[E | WakeUp]:
        """Join the waiting receivers, when the mailbox is empty; the result is an entry or WOKEN."""
        arrival: asyncio.Future[E | WakeUp] = asyncio.get_running_loop().create_future()
        self._receivers.append(arrival)
        return arrival

    def wake(self, arrival: asyncio.Future[E | WakeUp]) -> None:
        """End the wait of this receiver."""
        if not arrival.done():
            self._receivers.remove(arrival)
            arrival.set_result(WOKEN)

    def withdraw(self, arrival: asyncio.Future[E | WakeUp]) -> None:
        """Leave the waiting receivers. An entry that was just given goes to the next receiver, or to the front."""
        with suppress(ValueError):
            self._receivers.remove(arrival)
        if arrival.done() and not arrival.cancelled():
            entry = arrival.result()
            if not isinstance(entry, WakeUp) and not self._hand_over(entry):
                self._entries.appendleft(entry)

    def close(self, gate: Gate = Gate.INSIDE) -> None:
        """Refuse senders from outside, also those that wait; stored entries can still be received."""
        self._gate = max(self._gate, gate)
        waiting = list(self._senders)
        self._senders.clear()
        for place in waiting:
            room, _, inside = place
            if inside >= self._gate:
                self._senders.append(place)
            elif not room.done():
                room.set_exception(Stopped(self.name))

    def seal(self) -> list[E]:
        """Refuse every sender for good, and return the entries that were never received."""
        self.close(Gate.SEALED)
        left = list(self._entries)
        self._entries.clear()
        return left

    def _hand_over(self, entry: E) -> bool:
        while self._receivers:
            receiver = self._receivers.popleft()
            if not receiver.done():
                receiver.set_result(entry)
                return True
        return False
