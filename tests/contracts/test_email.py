"""Compares the simulated email service with the HTTP adapter and a real server: equal answers to equal calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from service.adapters.email import DirectEmailService, HttpEmailService
from service.domain.messages import Answer, Outcome
from service.ports import Greeting
from tests.service.adapters.email.raw_server import Connection, RawServer
from tests.simulation.loop import VirtualLoop
from tests.simulation.post import Calls, Mood, Post

GREETING = Greeting(UUID(int=7), "mary@example.com", "Hey, Mary Jones it's your birthday")


@dataclass(frozen=True)
class Service:
    """Its behaviour for a request: reached or not, the answered status (None: it cuts the connection), late or not."""

    status: int | None = 200
    reached: bool = True
    in_time: bool = True

    @property
    def timeout(self) -> timedelta:
        """The time for an attempt: short only where it is to pass."""
        return timedelta(seconds=30 if self.in_time else 0.5)


CASES: dict[str, tuple[Service, Outcome, int | None]] = {
    "it accepts": (Service(200), Outcome.ACCEPTED, 200),
    "it fails": (Service(500), Outcome.TRANSIENT_FAILURE, 500),
    "it is busy": (Service(503), Outcome.TRANSIENT_FAILURE, 503),
    "it has had enough": (Service(429), Outcome.TRANSIENT_FAILURE, 429),
    "it has a conflict": (Service(409), Outcome.TRANSIENT_FAILURE, 409),
    "it points elsewhere": (Service(302), Outcome.TRANSIENT_FAILURE, 302),
    "it refuses": (Service(422), Outcome.PERMANENT_FAILURE, 422),
    "it cuts the connection": (Service(None), Outcome.UNKNOWN, None),
    "it is slower than anybody waits": (Service(200, in_time=False), Outcome.UNKNOWN, None),
    "it is not there": (Service(reached=False), Outcome.TRANSIENT_FAILURE, None),
}


class Loaded(Random):
    """Draws the behaviour of the service."""

    def __init__(self, service: Service) -> None:
        super().__init__(0)
        self._draws: list[Any] = [Mood.ERRATIC, service.status]
        self._late = not service.in_time

    def random(self) -> float:
        return 0.9 if self._late else 0.0

    def choice(self, _among: Any) -> Any:
        return self._draws.pop(0)


def by_the_simulation(service: Service) -> Answer:
    """The fake's outcome, on virtual time."""
    loop = VirtualLoop()
    post = Post(loop, Loaded(service), lambda *_, **__: None, on_accepted=lambda _: None)
    post.mood = (
        Mood.DOWN
        if not service.reached
        else Mood.SLOW
        if not service.in_time
        else Mood.WELL
        if service.status == 200
        else Mood.ERRATIC
    )
    calls = Calls(loop, post, timeout=service.timeout, on_call=lambda _: None)
    try:
        return loop.run_until_complete(calls.attempt(GREETING))
    finally:
        loop.dead_letter()
        loop.close()


def over_http(service: Service, client: type[HttpEmailService | DirectEmailService] = HttpEmailService) -> Answer:
    """The adapter's outcome, from a server that behaves like this."""

    async def serve(connection: Connection) -> None:
        await connection.request()
        if not service.in_time:
            await connection.rest()
        elif service.status is not None:
            retry = "Retry-After: 1\r\n" if service.status == 429 else ""
            head = f"HTTP/1.1 {service.status} So\r\n{retry}Location: /\r\nContent-Length: 0\r\n\r\n"
            await connection.send(head.encode())
            await connection.rest()

    async def call() -> Answer:
        server = RawServer(serve)
        await server.listen()
        url = server.url
        if not service.reached:
            await server.close()
        email = client(url, timeout=service.timeout, concurrency=1)
        await email.open()
        try:
            return await email.attempt(GREETING)
        finally:
            await email.close()
            if service.reached:
                await server.close()

    return asyncio.run(call())


def directly(service: Service) -> Answer:
    """The outcome of the adapter that makes its own connections."""
    return over_http(service, DirectEmailService)


SIDES: tuple[Callable[[Service], Answer], ...] = (by_the_simulation, over_http, directly)


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.__name__)
@pytest.mark.parametrize("case", CASES)
def test_what_a_call_comes_to(case: str, side: Callable[[Service], Answer]) -> None:
    """The simulation is only valid if its calls fail like real ones."""
    service, outcome, status_code = CASES[case]

    answer = side(service)

    assert (answer.outcome, answer.status_code) == (outcome, status_code)
    assert answer.retry_after == (timedelta(seconds=1) if status_code == 429 else None)
    assert (answer.error is None) == (outcome is Outcome.ACCEPTED)
    in_time = answer.duration < service.timeout.total_seconds()
    assert in_time is service.in_time
