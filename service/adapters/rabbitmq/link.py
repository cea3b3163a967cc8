"""One connection to RabbitMQ with one channel: made when it is needed, dropped at the first error.

The library's robust connection is not used: it waits out an outage inside `publish`, where nobody sees it, and it may
come back without its consumers. Here every call has a deadline, and the next call after a failure connects anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from service.adapters.rabbitmq.topology import declare, exists
from service.ports import Unavailable

CONNECT_WITHIN = 5.0
"""Seconds to connect, open the channel and declare the topology."""

CLOSE_WITHIN = 1.0
"""Seconds to say goodbye; a broker that does not answer is left without."""

HEARTBEAT = 10
"""Seconds between heartbeats; the broker drops a silent node after twice as long and hands its bundles to others."""


class Link:
    """A connection named `name`, as the broker's management page shows it."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        connect_within: float = CONNECT_WITHIN,
        on_declared: Callable[[bool], None] = lambda _existed: None,
    ) -> None:
        """`on_declared` is told after each connect whether the delivery queue had existed before."""
        self._url = url
        self._name = name
        self._connect_within = connect_within
        self._on_declared = on_declared
        self._lock = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    @asynccontextmanager
    async def channel(self, *, within: float) -> AsyncIterator[AbstractChannel]:
        """A channel in a broker where the topology exists, connecting if need be; then `within` seconds to use it.

        Raises Unavailable, after dropping the connection, for every error of the broker or the network inside.
        """
        channel = await self._connected()
        try:
            async with translating(within=within):
                yield channel
        except Unavailable:
            await self.drop(channel)
            raise

    async def drop(self, channel: AbstractChannel) -> None:
        """Close the connection of `channel`, unless another has taken its place already."""
        if self._channel is channel:
            await self._discard()

    async def close(self) -> None:
        """Close the connection, also one that is just being made; the next use connects anew."""
        async with self._lock:
            await self._discard()

    async def _discard(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await _close(connection)

    async def _connected(self) -> AbstractChannel:
        # The deadline holds for those who wait for another's attempt as well.
        async with translating(within=self._connect_within), self._lock:
            if self._channel is not None and not self._channel.is_closed:
                return self._channel
            await self._discard()
            connection = await aio_pika.connect(
                self._url, heartbeat=HEARTBEAT, client_properties={"connection_name": self._name}
            )
            try:
                existed = await exists(connection)
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                await declare(channel)
                self._on_declared(existed)
            except BaseException:
                await _close(connection)
                raise
            self._connection, self._channel = connection, channel
            return channel


@asynccontextmanager
async def translating(*, within: float) -> AsyncIterator[None]:
    """Give what is inside `within` seconds; raises Unavailable for every error of the broker or the network."""
    try:
        async with asyncio.timeout(within):
            yield
    except asyncio.CancelledError as error:
        # The library cancels what waits on a channel that is closed. That is a failure, not our own end.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable("rabbitmq", "the channel was closed") from error
    except TimeoutError as error:
        raise Unavailable("rabbitmq", f"no answer within {within:g} s") from error
    # RuntimeError is among them: the library raises it for a channel or connection that was closed meanwhile.
    except CONNECTION_EXCEPTIONS as error:
        raise Unavailable("rabbitmq", f"{type(error).__name__}: {error}") from error


async def _close(connection: AbstractConnection) -> None:
    with suppress(Unavailable):
        async with translating(within=CLOSE_WITHIN):
            await connection.close()
