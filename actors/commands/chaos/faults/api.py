"""A fault of API clients: they open connections and send nothing."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from actors.commands.chaos.faults.connections import nodes_cut_off
from actors.commands.chaos.faults.fault import Fault, Need, NoEffect

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment
    from actors.commands.chaos.fleet import Slot

CONNECTIONS = 600
"""Silent connections to one node."""

DESCRIPTORS = 256
"""File descriptors of that node, beside one for each call that it may make at a time."""

CONNECT_TIMEOUT = 2.0
"""Seconds for one connection. A node that is full does not answer."""


class SilentConnections(Fault):
    """Clients open more connections to a node than it has file descriptors, and send nothing: it must go on sending."""

    name: ClassVar[str] = "silent-connections"
    does: ClassVar[str] = (
        f"open {CONNECTIONS} silent connections to the API of a node with {DESCRIPTORS} file descriptors"
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.PROCESS_LIMITS, Need.RABBITMQ, Need.RELAYED_RABBITMQ)
    takes: ClassVar[float] = 30.0

    def __init__(self, chance: Random) -> None:
        super().__init__(chance)
        self._slot: Slot | None = None

    async def inject(self, environment: Environment) -> str:
        slot = self._slot = self.chance.choice(environment.fleet.slots)
        if not await slot.drain(within=environment.drain_timeout):
            self.problems.append(f"{slot.node_id} did not end in order")
        descriptors = DESCRIPTORS + environment.settings.email_concurrency
        slot.start(descriptors=descriptors)
        await slot.ready()
        lasts = self.seconds(8, 15)
        async with silent_connections(slot.url) as opened:
            if opened <= descriptors:
                raise NoEffect(f"{opened} connections could be opened, and the node has {descriptors} descriptors")
            began = environment.time()
            # Otherwise the others may have every bundle, and this node has nothing to send.
            others = [other for other in environment.fleet.slots if other is not slot]
            with nodes_cut_off(environment, others):
                await asyncio.sleep(lasts)
            if not await environment.sent_by(slot.node_id, since=began):
                self.problems.append(f"{slot.node_id} sent nothing while {opened} connections were silent")
        return f"{slot.node_id}, {opened} connections for {lasts:.1f} s"

    async def cleanup(self, environment: Environment) -> None:
        """Replace the node, because it cannot get its file descriptors back."""
        if self._slot is not None:
            if not await self._slot.drain(within=environment.drain_timeout):
                self.problems.append(f"{self._slot.node_id} did not end in order")
            self._slot.start()
            await self._slot.ready()


@asynccontextmanager
async def silent_connections(url: str, *, request: bytes = b"") -> AsyncIterator[int]:
    """Hold connections to a server and send nothing, or this beginning of a request. Yields how many it has taken."""
    parts = urlsplit(url)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        async with AsyncExitStack() as stack:
            opened = 0
            for _ in range(CONNECTIONS):
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CONNECT_TIMEOUT):
                        _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
                    writer.write(request)
                    stack.push_async_callback(_abort, writer)
                    opened += 1
            yield opened
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
