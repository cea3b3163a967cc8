"""The relay with each fault: the data that passes, the data that is lost, and the state afterwards."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop

from actors.commands.sandbox.servers.ports import free_port
from actors.commands.sandbox.servers.relay import Relay, relayed

READ_TIMEOUT = 60.0


class Heard:
    """The lines that the server received."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.something = asyncio.Event()


@pytest.fixture
async def heard() -> Heard:
    """Start with no line."""
    return Heard()


@pytest.fixture
async def relay(heard: Heard) -> AsyncIterator[Relay]:
    """A relay in front of a server that repeats each line."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            async for line in reader:
                heard.lines.append(line)
                heard.something.set()
                writer.write(line)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with relayed(f"redis://user:secret@127.0.0.1:{port}/3") as made:
        yield made
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def connected(relay: Relay) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection through the relay."""
    port = int(relay.url.rpartition(":")[2].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def line(reader: asyncio.StreamReader) -> bytes:
    """Read the next line."""
    return await asyncio.wait_for(reader.readline(), READ_TIMEOUT)


async def test_its_url_differs_in_host_and_port_only(relay: Relay) -> None:
    """The server needs the credentials and the path."""
    assert relay.url.startswith("redis://user:secret@127.0.0.1:")
    assert relay.url.endswith("/3")


async def test_delayed_data_is_late_in_both_directions_and_complete(relay: Relay) -> None:
    """A slow network loses nothing."""
    async with connected(relay) as (reader, writer):
        relay.delay = 0.1
        began = time.monotonic()

        writer.write(b"hello\n")
        answer = await line(reader)

    assert answer == b"hello\n"
    assert time.monotonic() - began >= 0.2


async def test_a_half_open_connection_passes_requests_and_loses_answers(relay: Relay, heard: Heard) -> None:
    """Afterwards the connection is reset, because an answer is missing. A new one works."""
    async with connected(relay) as (reader, writer):
        relay.swallow_answers()
        writer.write(b"one\n")
        await asyncio.wait_for(heard.something.wait(), READ_TIMEOUT)

        relay.mend()
        with pytest.raises(ConnectionResetError):
            await line(reader)
    async with connected(relay) as (reader, writer):
        writer.write(b"two\n")
        assert await line(reader) == b"two\n"

    assert heard.lines == [b"one\n", b"two\n"]


async def test_frozen_data_arrives_after_the_thaw(relay: Relay, heard: Heard) -> None:
    """It arrives although the client has given up, so the server may do the work twice."""
    relay.freeze()
    async with connected(relay) as (_, writer):
        writer.write(b"late\n")
        await writer.drain()
    nothing_yet = list(heard.lines)

    relay.mend()
    await asyncio.wait_for(heard.something.wait(), READ_TIMEOUT)

    assert (nothing_yet, heard.lines) == ([], [b"late\n"])


async def test_a_server_that_is_away_looks_like_a_connection_that_is_reset() -> None:
    """Nothing hangs, and no unhandled error is logged."""
    async with relayed(f"redis://127.0.0.1:{free_port()}") as relay, connected(relay) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await line(reader)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_connection_that_its_client_reset_meanwhile_can_be_cut(
    run: Callable[[Coroutine[Any, Any, None]], None],
) -> None:
    """Nodes close connections to a frozen server. Cutting a closed connection must not fail."""

    async def freeze_reset_and_cut() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                writer.write(await reader.readline())
                await reader.read()
            writer.transport.abort()

        async def rounds_of_the_loop() -> None:
            for _ in range(20):
                await asyncio.sleep(0)

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with relayed(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}") as relay:
            async with connected(relay) as (reader, writer):
                writer.write(b"one\n")
                assert await line(reader) == b"one\n"
                relay.freeze()
                writer.write(b"two\n")
                await rounds_of_the_loop()
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            await rounds_of_the_loop()
            relay.cut()
        server.close()
        await server.wait_closed()

    run(freeze_reset_and_cut())


async def test_it_knows_its_connections_to_the_server_until_they_end() -> None:
    """So a rehearsal sees that a restart of the server ended them."""

    async def answer_two_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer_two_lines, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with relayed(f"redis://127.0.0.1:{port}") as relay, connected(relay) as (reader, writer):
        writer.write(b"one\n")
        await line(reader)
        during = relay.connections
        writer.write(b"two\n")
        await asyncio.wait_for(reader.read(), READ_TIMEOUT)
        after = relay.connections
    server.close()

    assert (len(during), len(after)) == (1, 0)
