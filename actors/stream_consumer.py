"""The loop that reads a stream as one consumer of its group: unfinished entries first, then new ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TypeVar

from actors.context import NodeContext
from actors.periodic import LeasedActor
from service.ports import Emptied, Entry, Unavailable, WorkStream

M = TypeVar("M")

READ_WAIT = 1.0
"""Seconds to wait for a new entry; a drain waits no longer."""


class StreamConsumer(LeasedActor[M]):
    """Reads up to `at_once` entries at a time. Subclasses do the work of the entries and finish them.

    An entry stays pending in the stream until it is finished. After a start and after an outage the actor therefore
    reads first what it had not finished. `on_emptied` is called when the store has lost the stream's group.
    """

    def __init__(
        self, node: NodeContext, stream: WorkStream, *, at_once: int, on_emptied: Callable[[Emptied], None]
    ) -> None:
        super().__init__(node)
        self._stream = stream
        self._at_once = at_once
        self._on_emptied = on_emptied
        self._unfinished_read = False

    @abstractmethod
    async def work_on(self, entries: list[Entry]) -> None:
        """Do the work of these entries, at least one, and finish them in the stream."""

    async def run_leased(self) -> float:
        try:
            if not self._unfinished_read:
                while entries := await self._stream.unfinished(count=self._at_once):
                    await self.work_on(entries)
                self._unfinished_read = True
            if entries := await self._stream.read(count=self._at_once, block=READ_WAIT):
                await self.work_on(entries)
        except Emptied as emptied:
            self._on_emptied(emptied)
        except Unavailable:
            self._unfinished_read = False
            raise
        return 0.0
