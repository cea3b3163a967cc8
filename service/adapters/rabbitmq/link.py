"""One connection to RabbitMQ with one channel: made when it is needed, dropped at the first error.

The library's robust connection is not used. It waits during an outage inside `publish`, where no actor sees it, and it
may come back without its consumers. Here every call has a deadline, and the next call after a failure connects again.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ProbableAuthenticationError
from aiormq.exceptions import ChannelAccessRefused, ConnectionNotAllowed

from service.adapters.rabbitmq.topology import declare
from service.certificates import tls_sentence
from service.environment import split_hosts
from service.ports import Unavailable
from service.store_urls import rabbitmq_authorities, rabbitmq_server, rabbitmq_url

E = TypeVar("E", bound=BaseException)

SETTING = "HEYDAY_RABBITMQ_URL"

CONNECT_TIMEOUT = 5.0
"""Seconds to connect to one of the hosts, and as many to open the channel and declare the topology."""

CLOSE_TIMEOUT = 1.0
"""Seconds to close a connection."""

HEARTBEAT = 10
"""Seconds between heartbeats. The broker drops a silent node after twice as long and redelivers its bundles."""

BLOCKED = "the broker blocks publishers, because it is low on memory or disk space"
"""The reason of an outage during a resource alarm of the broker."""


PERMISSIONS = (
    "give the user of HEYDAY_RABBITMQ_URL its permissions: "
    r"rabbitmqctl set_permissions -p VHOST USER '^heyday\.' '^heyday\.' '^heyday\.'"
)
"""The remedy for a user who may not declare, write or read the queues."""


class Link:
    """A connection named `name`, as the broker's management page shows it, to one of the hosts of `url`."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        connect_within: float = CONNECT_TIMEOUT,
        on_declared: Callable[[bool], None] = lambda _existed: None,
        declaring: asyncio.Lock | None = None,
    ) -> None:
        """`on_declared` is called after each connect; its argument is True if the delivery queue existed before.

        Links with the same lock `declaring` declare and report one after the other.
        """
        self._declaring = declaring or asyncio.Lock()
        self._hosts = split_hosts(url)
        self._name = name
        self._connect_within = connect_within
        self._on_declared = on_declared
        self._lock = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    @asynccontextmanager
    async def channel(self, *, within: float) -> AsyncIterator[AbstractChannel]:
        """A channel in a broker where the topology exists, connecting if necessary; then `within` seconds to use it.

        Raises Unavailable, after dropping the connection, for every error of the broker or the network inside. A
        connection that the broker blocks is kept: it is told when publishers may go on, and until then each use fails
        at once. What was being published then may still arrive.
        """
        channel = await self._connected()
        if await self._is_blocked(channel):
            raise Unavailable("rabbitmq", BLOCKED)
        try:
            async with translating(within=within):
                yield channel
        except Unavailable as error:
            if await self._is_blocked(channel):
                raise Unavailable("rabbitmq", BLOCKED) from error
            await self.drop(channel)
            raise

    async def declare(self) -> None:
        """Make what is missing of the topology. Use it inside `channel`, which translates its errors."""
        async with self._declaring:
            # Looked at after the wait: another caller may have dropped it meanwhile.
            if (connection := self._connection) is not None:
                self._on_declared(await declare(connection))

    async def drop(self, channel: AbstractChannel) -> None:
        """Close the connection of `channel`, unless another has replaced it."""
        if self._channel is channel:
            await self._discard()

    async def use(self, url: str) -> None:
        """Connect to another URL from now on."""
        async with self._lock:
            self._hosts = split_hosts(url)
            await self._discard()

    async def close(self) -> None:
        """Close the connection, also one that is being made; the next use connects again."""
        async with self._lock:
            await self._discard()

    async def _is_blocked(self, channel: AbstractChannel) -> bool:
        return self._channel is channel and self._connection is not None and await is_blocked(self._connection)

    async def _discard(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await close(connection)

    async def _connected(self) -> AbstractChannel:
        # The deadline includes the wait for an attempt by another caller.
        async with translating(within=2 * self._connect_within), self._lock:
            if self._channel is not None and not self._channel.is_closed:
                return self._channel
            await self._discard()
            connection = await self._connect()
            try:
                async with translating(within=self._connect_within), self._declaring:
                    existed = await declare(connection)
                    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                    self._on_declared(existed)
            except BaseException:
                await close(connection)
                raise
            self._connection, self._channel = connection, channel
            return channel

    async def _connect(self) -> AbstractConnection:
        """Connect to the first host that answers. The next call starts with that host."""
        outage = Unavailable("rabbitmq", "the URL has no host")
        for _ in self._hosts.copy():
            try:
                return await connect(self._hosts[0], name=self._name, within=self._connect_within / len(self._hosts))
            except Unavailable as error:
                outage = error
                self._hosts.append(self._hosts.pop(0))
        raise outage


async def connect(url: str, *, name: str, within: float) -> AbstractConnection:
    """Connect to one host, within so many seconds. Raises Unavailable."""
    server = rabbitmq_server(url)
    try:
        rabbitmq_url(url)  # a file that it names was there when the settings were read
    except ValueError as error:
        raise Unavailable("rabbitmq", f"{SETTING}: expected {error}") from error
    try:
        async with translating(within=within):
            return await aio_pika.connect(url, heartbeat=HEARTBEAT, client_properties={"connection_name": name})
    except Unavailable as outage:
        if (failure := _caused_by(outage, ssl.SSLError)) is not None:
            sentence = tls_sentence(failure, setting=SETTING, server=server, authorities=rabbitmq_authorities(url))
        elif (refused := _caused_by(outage, ProbableAuthenticationError)) is not None:
            sentence = f"{SETTING}: {server} refuses the login ({refused}); correct the user and the password"
        elif (closed := _caused_by(outage, ConnectionNotAllowed)) is not None:
            sentence = (
                f"{SETTING}: {server} refuses the virtual host ({closed}); correct it, or give the user its permissions"
            )
        elif (unknown := _caused_by(outage, socket.gaierror)) is not None:
            sentence = f"{SETTING}: the host of {server} is not found ({unknown.strerror})"
        else:
            raise
        raise Unavailable("rabbitmq", sentence) from outage


async def connect_to_any(url: str, *, name: str, within: float) -> AbstractConnection:
    """Connect to the first host of the URL that answers, with so many seconds for each. Raises Unavailable."""
    outage = Unavailable("rabbitmq", "the URL has no host")
    for host in split_hosts(url):
        try:
            return await connect(host, name=name, within=within)
        except Unavailable as error:
            outage = error
    raise outage


def _caused_by(error: BaseException, kind: type[E]) -> E | None:
    """The first cause of that kind. An exception of the library may be a cause of itself, through others."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        if isinstance(following, kind):
            return following
        seen.add(id(following))
        following = following.__cause__ or following.__context__
    return None


async def is_blocked(connection: AbstractConnection) -> bool:
    """True while the broker has told this connection that it blocks publishers."""
    if connection.is_closed or connection.transport is None:
        return False
    try:
        async with asyncio.timeout(0):
            await connection.transport.connection.ready()
    except TimeoutError:
        return True
    return False


@asynccontextmanager
async def translating(*, within: float) -> AsyncIterator[None]:
    """Limit the block to `within` seconds. Raises Unavailable for every error of the broker or the network."""
    try:
        async with asyncio.timeout(within):
            yield
    except asyncio.CancelledError as error:
        # The library cancels what waits on a closed channel. That is a failure, not a cancellation by the caller.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable("rabbitmq", "the channel was closed") from error
    except TimeoutError as error:
        raise Unavailable("rabbitmq", f"no answer within {within:g} s") from error
    except ChannelAccessRefused as error:
        raise Unavailable("rabbitmq", f"{error}; {PERMISSIONS}") from error
    # The tuple includes RuntimeError, which the library raises for a channel or connection closed meanwhile.
    except CONNECTION_EXCEPTIONS as error:
        raise Unavailable("rabbitmq", f"{type(error).__name__}: {error}") from error
    except Exception as error:
        # aiormq raises a bare Exception to those who wait on a channel that is closed without a reason.
        if type(error) is not Exception:
            raise
        raise Unavailable("rabbitmq", "the channel was closed") from error


async def close(connection: AbstractConnection) -> None:
    """Close a connection. A broker that does not answer in time is left without a goodbye."""
    with suppress(Unavailable):
        async with translating(within=CLOSE_TIMEOUT):
            await connection.close()
