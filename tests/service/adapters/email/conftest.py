"""Fixtures for tests of the email adapter: both event loops, and servers and clients that are closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import pytest
import uvloop

from actors.commands.sandbox.email_stub import EmailStub, StubOptions, serve
from service.adapters.email import DirectEmailService, HttpEmailService
from service.ports import Greeting
from tests.service.adapters.email.raw_server import Behaviour, RawServer


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test here on both loops: production uses uvloop, and the two close connections differently."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


HttpClient = HttpEmailService | DirectEmailService

CLIENTS: dict[str, type[HttpClient]] = {"aiohttp": HttpEmailService, "direct": DirectEmailService}
"""The ways to call a service over HTTP. Each keeps the same promises."""


class MakeClient(Protocol):
    """Opens a client that the fixture closes."""

    async def __call__(self, base_url: str, *, timeout: float = 5.0, concurrency: int = 10) -> HttpClient: ...


@pytest.fixture(params=CLIENTS)
def client_class(request: pytest.FixtureRequest) -> type[HttpClient]:
    """Each way to call a service over HTTP."""
    return CLIENTS[request.param]


@pytest.fixture
def greeting() -> Greeting:
    """A greeting whose address and text must not turn up in errors."""
    return Greeting(UUID(int=7), "mary@example.com", "Hey, Mary Jönes it's your birthday")


@pytest.fixture
async def raw_server() -> AsyncIterator[Callable[[Behaviour], Awaitable[RawServer]]]:
    """Starts servers with a behaviour for each connection."""
    async with AsyncExitStack() as stack:

        async def start(behaviour: Behaviour) -> RawServer:
            server = RawServer(behaviour)
            await server.listen()
            stack.push_async_callback(server.close)
            return server

        yield start


@pytest.fixture
async def stub() -> AsyncIterator[EmailStub]:
    """A fake email service without faults, until a test changes its options."""
    stub = await serve("127.0.0.1", 0, StubOptions(seed=1))
    yield stub
    await stub.close()


@pytest.fixture
async def client(client_class: type[HttpClient]) -> AsyncIterator[MakeClient]:
    """Opens clients, and closes them when the test ends."""
    async with AsyncExitStack() as stack:

        async def open_client(base_url: str, *, timeout: float = 5.0, concurrency: int = 10) -> HttpClient:
            service = client_class(base_url, timeout=timedelta(seconds=timeout), concurrency=concurrency)
            await service.open()
            stack.push_async_callback(service.close)
            return service

        yield open_client
