"""The nodes of a rehearsal. Each has a slot with its own relays in front of every server, and can be replaced there."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

from actors.commands.rehearsal.node_process import NodeProcess
from actors.commands.sandbox.servers.ports import LOOPBACK, free_port
from actors.commands.sandbox.servers.relay import DEFAULT_PORTS, Relay, relayed

READY_WITHIN = 60.0
"""Seconds until a node must be ready, on a busy machine and during faults."""

SETTINGS = {
    "postgres": "HEYDAY_DATABASE_URL",
    "redis": "HEYDAY_REDIS_URL",
    "rabbitmq": "HEYDAY_RABBITMQ_URL",
    "email": "HEYDAY_EMAIL_URL",
}
"""The setting with the URL of each system."""


class Slot:
    """A place for a node: the relays, and the process that is there now."""

    def __init__(self, number: int, directory: Path, settings: Mapping[str, str], relays: Mapping[str, Relay]) -> None:
        self.relays = relays
        self._number = number
        self._directory = directory
        self._log = directory / f"node-{number}.log"
        through = {SETTINGS[system]: relay.url for system, relay in relays.items()}
        self._settings = {**settings, **through, "HEYDAY_BIND": f"{LOOPBACK}:{free_port()}"}
        self._generation = 0
        self._node = self._make({})

    @property
    def node_id(self) -> str:
        """The name of the node that is there."""
        return f"node-{self._number}" + (f".{self._generation}" if self._generation > 1 else "")

    @property
    def url(self) -> str:
        """The base of its API."""
        return self._node.url

    @property
    def log(self) -> Path:
        """The log of every node that was here."""
        return self._log

    @property
    def running(self) -> bool:
        """True while its process runs."""
        return self._node.pid is not None

    def start(
        self, *, same_id: bool = False, settings: Mapping[str, str] | None = None, descriptors: int | None = None
    ) -> None:
        """Start a node here, with the name of the one before it or with a new name.

        `settings` replace its own for this node. `descriptors` limits its file descriptors (Linux).
        """
        if not same_id:
            self._generation += 1
        self._node = self._make(settings or {})
        self._node.start()
        if descriptors is not None and (pid := self._node.pid) is not None:
            psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE, (descriptors, descriptors))

    async def ready(self) -> None:
        """Wait until it is ready. Raises ServerFailed."""
        await self._node.ready(within=READY_WITHIN)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._node.send(number)

    def limit_memory(self) -> None:
        """Give it no more memory than it has now, if it runs (Linux)."""
        if (pid := self._node.pid) is not None:
            process = psutil.Process(pid)
            process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms, psutil.RLIM_INFINITY))

    def unlimit_memory(self) -> None:
        """Remove the limit of its memory, if it runs."""
        if (pid := self._node.pid) is not None:
            psutil.Process(pid).rlimit(psutil.RLIMIT_AS, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))

    def kill(self) -> None:
        """Kill it."""
        self._node.kill()

    async def drain(self, *, within: float) -> bool:
        """Drain it. False if it did not end in order; it is killed after `within` seconds."""
        return await self._node.drain(within=within)

    def _make(self, settings: Mapping[str, str]) -> NodeProcess:
        own = {**self._settings, **settings, "HEYDAY_NODE_ID": self.node_id}
        return NodeProcess(self._directory, self._log, own)


class Fleet:
    """All the nodes."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots

    def relays(self, system: str, *, of: Slot | None = None) -> list[Relay]:
        """The relays in front of a system, of one node or of all."""
        return [slot.relays[system] for slot in ([of] if of else self.slots)]

    async def any_ready(self) -> None:
        """Wait until the first is ready. Raises ServerFailed."""
        waiting = [asyncio.ensure_future(slot.ready()) for slot in self.slots]
        try:
            for first in asyncio.as_completed(waiting):
                await first
                return
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def drain(self, *, within: float) -> list[str]:
        """Drain all at the same time. Returns the names of those that did not end in order."""
        ended = await asyncio.gather(*(slot.drain(within=within) for slot in self.slots))
        return [slot.node_id for slot, in_order in zip(self.slots, ended, strict=True) if not in_order]


@asynccontextmanager
async def fleet_of(count: int, directory: Path, settings: Mapping[str, str]) -> AsyncIterator[Fleet]:
    """Make the slots, with relays in front of every system where possible. At the end, kill what still runs."""
    async with AsyncExitStack() as stack:
        slots = []
        for number in range(1, count + 1):
            relays = {
                system: await stack.enter_async_context(relayed(settings[name]))
                for system, name in SETTINGS.items()
                if name in settings and why_not_relayed(settings[name]) is None
            }
            slot = Slot(number, directory, settings, relays)
            stack.callback(slot.kill)
            slots.append(slot)
        yield Fleet(slots)


def why_not_relayed(url: str) -> str | None:
    """The reason why connections to this URL cannot pass through a relay. None if they can."""
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS:
        return f"{parts.scheme}:// cannot pass through a relay"
    if not parts.hostname or "," in parts.netloc:
        return "its URL has more than one host, or none"
    if parse_qs(parts.query).get("sslmode", [""])[0] == "verify-full":
        return "sslmode=verify-full does not accept a relay"
    return None
