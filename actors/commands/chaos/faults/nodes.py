"""Faults of nodes: killed, stopped for longer than their death takes, drained; each is replaced."""

from __future__ import annotations

import asyncio
import signal
from random import Random
from typing import TYPE_CHECKING, ClassVar

from actors.chaos.faults.fault import Fault, Need

if TYPE_CHECKING:
    from actors.chaos.fleet import Slot
    from actors.chaos.stage import Stage

STOPPED_AT_MOST = 30.0
"""Seconds that a node is stopped while it waits to be given up by the others, who need 8 s."""

DRAIN_WITHIN = 15.0
"""Seconds beyond the node's own deadline in which it has to end."""


class KillNode(Fault):
    """A node, or several of them at once, but not all, die; each is replaced after the others have taken over."""

    name: ClassVar[str] = "kill-node"
    does: ClassVar[str] = "kill -9 one or more nodes at once; replaced once the others have taken over"
    over_when: ClassVar[str] = "nothing is claimed by the dead any more"

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._dead: list[Slot] = []
        self._ids: list[str] = []

    async def strike(self, stage: Stage) -> str:
        """The last of them stays, unless there is only one: then it is started again at once."""
        slots = stage.fleet.slots
        self._dead = self.chance.sample(slots, self.chance.randint(1, max(1, len(slots) - 1)))
        self._ids = [slot.node_id for slot in self._dead]
        for slot in self._dead:
            slot.kill()
        if len(slots) == 1:
            slots[0].start()
        return ", ".join(self._ids)

    async def over(self, stage: Stage, ended_at: float) -> bool:
        return await stage.nothing_is_left_to(self._ids)

    async def tidy(self, stage: Stage) -> None:
        for slot in self._dead:
            if not slot.running:
                # Where nodes have fixed names, the one that comes back is called like the one that died.
                slot.start(same_id=self.chance.random() < 0.5)
        for slot in self._dead:
            await slot.ready()


class KillAllNodes(Fault):
    """Every node dies at once, as in a power cut, and all are started again."""

    name: ClassVar[str] = "kill-all-nodes"
    does: ClassVar[str] = "kill -9 every node at once and start them again; it ends when the first of them is ready"

    async def strike(self, stage: Stage) -> str:
        slots = stage.fleet.slots
        for slot in slots:
            slot.kill()
        await asyncio.sleep(self.seconds(0, 10))
        same_id = self.chance.random() < 0.5
        for slot in slots:
            slot.start(same_id=same_id)
        await stage.fleet.any_ready()
        return f"all {len(slots)}, {'under the same names' if same_id else 'under new names'}"

    async def tidy(self, stage: Stage) -> None:
        for slot in stage.fleet.slots:
            await slot.ready()


class StopNode(Fault):
    """A node stands still until the others have given it up, and then goes on: it must not send what they have."""

    name: ClassVar[str] = "stop-node"
    does: ClassVar[str] = "SIGSTOP a node until the others have taken over its claims, then SIGCONT"
    over_when: ClassVar[str] = "it has entered again, and a greeting begun after that is accepted and on record"

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._id = ""

    async def strike(self, stage: Stage) -> str:
        slot = self.chance.choice(stage.fleet.slots)
        self._id = slot.node_id
        slot.send(signal.SIGSTOP)
        try:
            if len(stage.fleet.slots) == 1:
                await asyncio.sleep(self.seconds(10, 14))
            else:
                await stage.until(lambda: stage.nothing_is_left_to([self._id]), within=STOPPED_AT_MOST)
                await asyncio.sleep(self.seconds(0, 3))
        finally:
            slot.send(signal.SIGCONT)
        return self._id

    async def over(self, stage: Stage, ended_at: float) -> bool:
        return await stage.lives(self._id) and await stage.greeted_since(ended_at)


class StarveNode(Fault):
    """A node gets no more memory than it has: it lives with that, or dies of it and is replaced.

    The limit is on its address space (RLIMIT_AS), so that it is told, by MemoryError, where a container's limit kills.
    """

    name: ClassVar[str] = "starve-node"
    does: ClassVar[str] = "give a node no memory beyond what it has, for some seconds; replaced if it dies of that"
    needs: ClassVar[tuple[Need, ...]] = (Need.MEMORY_LIMIT,)

    async def strike(self, stage: Stage) -> str:
        slot = self.chance.choice(stage.fleet.slots)
        starved = slot.node_id
        lasts = self.seconds(5, 15)

        async def ended() -> bool:
            return not slot.running

        slot.limit_memory()
        try:
            await stage.until(ended, within=lasts)
        finally:
            slot.unlimit_memory()
        if slot.running:
            return f"{starved} for {lasts:.1f} s, and it lived"
        slot.start()
        await slot.ready()
        return f"{starved}, which died of it"


class DrainNode(Fault):
    """A node is told to end, as in a rolling deployment, and replaced."""

    name: ClassVar[str] = "drain-node"
    does: ClassVar[str] = "SIGTERM a node, which has to end in order with code 0, and replace it"

    async def strike(self, stage: Stage) -> str:
        slot = self.chance.choice(stage.fleet.slots)
        gone = slot.node_id
        if not await slot.drain(within=stage.drain_within + DRAIN_WITHIN):
            self.problems.append(f"{gone} did not end in order")
        slot.start()
        await slot.ready()
        return gone
