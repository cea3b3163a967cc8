"""The connections to one host: made when they are needed, kept for a short time, and never more than a number."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import aiohappyeyeballs

from service.adapters.email.connection import Connection, Disconnected

KEEP_ALIVE = 4.0
"""Seconds that an idle connection is kept. Node, uvicorn and Apache close theirs after 5 s: a request that crosses with
that close has an unknown outcome, while a new connection costs a few round trips."""

ADDRESSES_LAST = 10.0
"""Seconds for which the addresses of a name are remembered."""

LOOK_UP_TIMEOUT = 30.0
"""Seconds of a look-up, which all callers share. Each caller has its own deadline, too."""

NEXT_ADDRESS_AFTER = 0.25
"""Seconds after which the next address is tried beside one that does not answer (RFC 8305, 5)."""

Address = aiohappyeyeballs.AddrInfoType


class ConnectionPool:
    """Connections to `host` and `port`, encrypted if `tls` is given. It belongs to the running loop."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._addresses: deque[Address] = deque()
        self._addresses_until = 0.0
        self._lookup: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Close idle connections now, and the others when their request has ended. Safe to call twice.

        A look-up goes on for those that wait for it: if it were cancelled, so were they.
        """
        self._is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while self._idle:
            self._idle.popleft().close()

    def abort(self) -> None:
        """Close every connection, and end a look-up, now."""
        self.close()
        if self._lookup is not None:
            self._lookup.cancel()
        for connection in list(self._connections):
            connection.close()

    def idle(self) -> Connection | None:
        """Take an idle connection; the one that was used last is the least likely to be closed by the server."""
        oldest = self._loop.time() - KEEP_ALIVE
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since >= oldest and not connection.is_closing:
                return connection
            connection.close()
        return None

    async def connect(self) -> Connection:
        """Make a connection. Raises OSError; nothing of a request was written then."""
        addresses = await self._resolved()
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=NEXT_ADDRESS_AFTER, interleave=1, loop=self._loop
        )
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await self._loop.create_connection(
                partial(Connection, self._loop, on_idle=self.give_back, on_lost=self._lost),
                sock=sock,
                ssl=self._tls,
                server_hostname=self._host.rstrip(".") if self._tls is not None else None,
            )
        except BaseException:
            with suppress(OSError):  # the loop may have closed it
                sock.close()
            raise
        if connection.is_closing:
            raise Disconnected
        self._connections.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection that carries no request."""
        if self._is_closed:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(KEEP_ALIVE, self._close_the_old)

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _close_the_old(self) -> None:
        """Close what has been idle for too long. The oldest is on the left."""
        self._sweep = None
        oldest = self._loop.time() - KEEP_ALIVE
        while self._idle and (self._idle[0].idle_since <= oldest or self._idle[0].is_closing):
            self._idle.popleft().close()
        if self._idle:
            self._sweep = self._loop.call_at(self._idle[0].idle_since + KEEP_ALIVE, self._close_the_old)

    async def _resolved(self) -> list[Address]:
        """The addresses of the host, in turn. All that ask at one moment share a look-up."""
        if self._loop.time() >= self._addresses_until:
            if self._lookup is None:
                self._lookup = asyncio.ensure_future(self._look_up())
                self._lookup.add_done_callback(self._looked_up)
            await asyncio.shield(self._lookup)
        found = list(self._addresses)
        self._addresses.rotate(-1)  # so that several servers behind a name share the connections
        return found

    async def _look_up(self) -> None:
        async with asyncio.timeout(LOOK_UP_TIMEOUT):
            found: Iterable[Address] = await self._loop.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        self._addresses = deque(found)
        self._addresses_until = self._loop.time() + ADDRESSES_LAST

    def _looked_up(self, task: asyncio.Task[None]) -> None:
        self._lookup = None
        if not task.cancelled():
            task.exception()  # its callers may have gone
