"""Faults of nodes: killed, stopped, short of memory, drained. Each node is replaced."""

from __future__ import annotations

import asyncio
import re
import signal
from random import Random
from typing import TYPE_CHECKING, ClassVar

from actors.commands.chaos.faults.api import silent_connections
from actors.commands.chaos.faults.fault import Fault, Need, require_effect

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment
    from actors.commands.chaos.fleet import Slot

TAKEOVER_TIMEOUT = 15.0
"""Seconds within which the others must take over from a dead node. heyday promises it."""

LARGE_REQUEST = (
    b"POST /api/v1/users HTTP/1.1\r\nHost: heyday\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
    + b" " * 50_000
)
"""The beginning of a request: the node keeps what has arrived."""

_LACKS_MEMORY = re.compile(
    r'"exc_type":"MemoryError"|"exc_type":"RuntimeError","exc_value":"","frames":\[[^]]*threading\.py","lineno":\d+,"name":"start"}]'
)


def lacks_memory(line: str) -> bool:
    """True for a line of a node's log about a failure without memory: there was none, or none for a new thread."""
    return _LACKS_MEMORY.search(line) is not None


class KillNode(Fault):
    """One or more nodes are killed, but not all. Each is replaced after the others have taken over its work."""

    name: ClassVar[str] = "kill-node"
    does: ClassVar[str] = "kill -9 one or more nodes at once; replace them when the others have taken over"
    recovery: ClassVar[str] = "no message is claimed by a killed node"
    recovery_timeout: ClassVar[float] = TAKEOVER_TIMEOUT

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._dead: list[Slot] = []
        self._ids: list[str] = []

    async def inject(self, environment: Environment) -> str:
        """Kill some nodes. A single node is started again at once, and takes over when it is ready."""
        slots = environment.fleet.slots
        self._dead = self.chance.sample(slots, self.chance.randint(1, max(1, len(slots) - 1)))
        self._ids = [slot.node_id for slot in self._dead]
        for slot in self._dead:
            slot.kill()
        if len(slots) == 1:
            slots[0].start()
            await slots[0].ready()
        return ", ".join(self._ids)

    async def recovered(self, environment: Environment, ended_at: float) -> bool:
        return await environment.nothing_is_claimed_by(self._ids)

    async def cleanup(self, environment: Environment) -> None:
        for slot in self._dead:
            if not slot.running:
                # Where nodes have fixed names, the new node has the name of the old one.
                slot.start(same_id=self.chance.random() < 0.5)
        for slot in self._dead:
            await slot.ready()


class KillAllNodes(Fault):
    """Every node is killed at once, as in a power cut, and started again."""

    name: ClassVar[str] = "kill-all-nodes"
    does: ClassVar[str] = "kill -9 every node at once and start them again; ends when the first is ready"

    async def inject(self, environment: Environment) -> str:
        slots = environment.fleet.slots
        for slot in slots:
            slot.kill()
        await asyncio.sleep(self.seconds(0, 10))
        same_id = self.chance.random() < 0.5
        for slot in slots:
            slot.start(same_id=same_id)
        await environment.fleet.any_ready()
        return f"all {len(slots)}, {'under the same names' if same_id else 'under new names'}"

    async def cleanup(self, environment: Environment) -> None:
        for slot in environment.fleet.slots:
            await slot.ready()


class StopNode(Fault):
    """A node is stopped until the others have taken over its work, then continued: it must not send their messages."""

    name: ClassVar[str] = "stop-node"
    does: ClassVar[str] = "SIGSTOP a node until the others have taken over its claims, then SIGCONT"
    recovery: ClassVar[str] = "the node has entered again, and a greeting begun after that is accepted and recorded"

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._id = ""

    async def inject(self, environment: Environment) -> str:
        slot = self.chance.choice(environment.fleet.slots)
        self._id = slot.node_id
        slot.send(signal.SIGSTOP)
        try:
            if len(environment.fleet.slots) == 1:
                await asyncio.sleep(self.seconds(10, 14))
            else:
                gone = await environment.until(
                    lambda: environment.nothing_is_claimed_by([self._id]), within=TAKEOVER_TIMEOUT
                )
                if not gone:
                    self.problems.append(f"the others did not take over from {self._id} within {TAKEOVER_TIMEOUT:g} s")
                await asyncio.sleep(self.seconds(0, 3))
        finally:
            slot.send(signal.SIGCONT)
        return self._id

    async def recovered(self, environment: Environment, ended_at: float) -> bool:
        return await environment.lives(self._id) and await environment.greeted_since(ended_at)


class StarveNode(Fault):
    """A node gets no more memory: it continues, or it ends and is replaced.

    The limit is on its address space (RLIMIT_AS). It causes a MemoryError, where the limit of a container would kill.
    Clients send it large requests, so that it needs more memory than it has free.
    """

    name: ClassVar[str] = "starve-node"
    does: ClassVar[str] = "give a node no more memory for some seconds; replace it if it ends"
    needs: ClassVar[tuple[Need, ...]] = (Need.PROCESS_LIMITS,)

    async def inject(self, environment: Environment) -> str:
        slot = self.chance.choice(environment.fleet.slots)
        starved = slot.node_id
        lasts = self.seconds(5, 15)

        async def ended() -> bool:
            return not slot.running

        logged = slot.log.stat().st_size

        def lacked_memory() -> int:
            with slot.log.open(encoding="utf-8", errors="replace") as log:
                log.seek(logged)
                return sum(map(lacks_memory, log)) + (not slot.running)

        slot.limit_memory()
        try:
            async with silent_connections(slot.url, request=LARGE_REQUEST):
                await environment.until(ended, within=lasts)
            await require_effect(environment, lacked_memory, "the node never lacked memory")
        finally:
            slot.unlimit_memory()
        if slot.running:
            return f"{starved} for {lasts:.1f} s, and it continued"
        slot.start()
        await slot.ready()
        return f"{starved}, which ended"


class DrainNode(Fault):
    """A node is drained and replaced, as in a rolling deployment."""

    name: ClassVar[str] = "drain-node"
    does: ClassVar[str] = "SIGTERM a node, which must end with exit code 0, and replace it"

    async def inject(self, environment: Environment) -> str:
        slot = self.chance.choice(environment.fleet.slots)
        gone = slot.node_id
        if not await slot.drain(within=environment.drain_timeout):
            self.problems.append(f"{gone} did not end in order")
        slot.start()
        await slot.ready()
        return gone
