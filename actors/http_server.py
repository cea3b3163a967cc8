"""The actor that serves HTTP: it listens when it starts, and finishes the requests under way when it drains."""

from __future__ import annotations

import asyncio
import resource
import socket
from typing import Never, assert_never

import structlog
from aiohttp import web

from actors.runtime import Actor, Context
from service.api.application import application
from service.api.dependencies import ApiDependencies
from service.api.http.connections import ConnectionTable, Runner
from service.environment import bind_text
from service.settings import Settings

log = structlog.get_logger(__name__)

REQUESTS_TIMEOUT = 4.5
"""Seconds for the requests under way when the node drains, and as long again for their connections to end. Both
together are shorter than the deadline of a child."""

SHORTEST_TIMEOUT = 0.1
"""Seconds for them at least, where the drain of the node has no more to spare."""

CLOSE_TIMEOUT = 0.5
"""Seconds for the same when the actor is stopped; both together are shorter than stop() may take."""

SETTLE_TURNS = 5
"""Turns of the loop between accepting a connection and its first task, with some to spare."""

BACKLOG = 1024
"""Connections that the kernel holds until they are accepted."""

MAX_CONNECTIONS = 4096
"""Connections of clients at once, if there are enough descriptors. An idle one takes about 30 kB."""

MIN_CONNECTIONS = 16
"""Connections of clients that a node accepts at least, even with few descriptors."""

RESERVED_DESCRIPTORS = 96
"""Descriptors for Redis, RabbitMQ, health checks, files, and the event loop itself."""


class CannotListen(Exception):
    """The API cannot listen on its address; the message names address and reason."""


def connection_limit(settings: Settings, descriptors: int) -> int:
    """Return the limit of client connections for this many descriptors. The delivery path gets its own first."""
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    reserved = settings.email_concurrency + settings.connections_of_node + RESERVED_DESCRIPTORS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, descriptors - reserved))


def requests_timeout(settings: Settings) -> float:
    """Return the seconds for the requests under way: the senders drain later, and need the time of a call."""
    spare = (settings.drain_within - settings.email_timeout).total_seconds()
    return max(SHORTEST_TIMEOUT, min(REQUESTS_TIMEOUT, spare / 2))


def check_address(host: str, port: int) -> None:
    """Bind the address and release it. Raises CannotListen, so that a node reports it before it starts anything."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
                probe.listen(1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CannotListen(f"cannot listen on HEYDAY_BIND={bind_text(host, port)}: {reason}") from error


class ApiServer(Actor[Never]):
    """Listens on `settings.bind_host:bind_port` and receives no messages. Port 0 takes a free port: see `port`."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._dependencies = dependencies
        self._runner: web.AppRunner | None = None
        self._connections: ConnectionTable | None = None
        self._draining = False

    @property
    def port(self) -> int:
        """The port it listens on. Raises LookupError when it does not."""
        if self._runner is None or not self._runner.addresses:
            raise LookupError("the API does not listen")
        port: int = self._runner.addresses[0][1]
        return port

    @property
    def open_connections(self) -> int:
        """The connections of clients that are open now."""
        return 0 if self._connections is None else len(self._connections)

    async def start(self, ctx: Context[Never]) -> None:
        settings = self._dependencies.settings
        app = application(self._dependencies, draining=lambda: self._draining)
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._connections = connections = ConnectionTable(connection_limit(settings, descriptors))
        self._runner = Runner(app, connections=connections, shutdown_timeout=CLOSE_TIMEOUT)
        await self._runner.setup()
        await web.TCPSite(self._runner, settings.bind_host, settings.bind_port, backlog=BACKLOG).start()
        log.info("api_listening", host=settings.bind_host, port=self.port, connections=connections.limit)

    async def receive(self, message: Never) -> None:
        assert_never(message)

    async def drain(self) -> None:
        """Stop accepting, and wait for the requests under way."""
        self._draining = True
        if self._runner is None or self._runner.server is None:
            return
        for site in self._runner.sites:
            await site.stop()
        # A connection that was just accepted needs these turns of the loop. A server that ends without knowing it would
        # leave the client waiting for ever.
        for _ in range(SETTLE_TURNS):
            await asyncio.sleep(0)
        # Idle connections are closed at once, the others after their response.
        self._runner.server.pre_shutdown()
        await self._runner.server.shutdown(requests_timeout(self._dependencies.settings))

    async def stop(self) -> None:
        """Close what is still open."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
