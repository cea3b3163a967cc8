"""Tests what only the direct client decides: which connection carries a request, and what a response may be."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest

from service.adapters.email import DirectEmailService, HttpEmailService
from service.adapters.email import connection_pool as pool
from service.domain.messages import Answer, Outcome
from service.ports import Greeting
from tests.service.adapters.email.conftest import HttpClient
from tests.service.adapters.email.raw_server import OK, Behaviour, Connection, RawServer, accepts

StartServer = Callable[[Behaviour], Awaitable[RawServer]]


@asynccontextmanager
async def opened(
    url: str, *, of: type[HttpClient] = DirectEmailService, timeout: float = 5
) -> AsyncIterator[HttpClient]:
    """A client of this service."""
    service = of(url, timeout=timedelta(seconds=timeout), concurrency=5)
    await service.open()
    try:
        yield service
    finally:
        await service.close()


async def test_another_url_is_called_over_new_connections(raw_server: StartServer, greeting: Greeting) -> None:
    """The URL is in a file that may change. A call under way ends where it began."""
    may_answer = asyncio.Event()

    async def answers_late(connection: Connection) -> None:
        while True:
            await connection.request()
            await may_answer.wait()
            await connection.send(OK)

    before, after = await raw_server(answers_late), await raw_server(accepts)
    async with opened(before.url) as service:
        under_way = asyncio.ensure_future(service.attempt(greeting))
        await before.heard.get()
        await service.use(after.url)

        assert (await service.attempt(greeting)).outcome is Outcome.ACCEPTED
        may_answer.set()
        assert (await under_way).outcome is Outcome.ACCEPTED
        await asyncio.wait_for(before.all_closed.wait(), 30)

    assert (len(before.requests), len(after.requests)) == (1, 1)


async def test_another_url_during_a_look_up_cancels_no_call(
    raw_server: StartServer, greeting: Greeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up is shared by all calls that wait for it."""
    before, after = await raw_server(accepts), await raw_server(accepts)
    asked, may_answer = asyncio.Event(), asyncio.Event()
    look_up = pool.ConnectionPool._look_up

    async def late(self: pool.ConnectionPool) -> None:
        asked.set()
        await may_answer.wait()
        await look_up(self)

    monkeypatch.setattr(pool.ConnectionPool, "_look_up", late)
    async with opened(before.url) as service:
        under_way = asyncio.ensure_future(service.attempt(greeting))
        await asked.wait()
        await service.use(after.url)
        may_answer.set()

        assert (await under_way).outcome is Outcome.ACCEPTED


async def test_a_connection_that_was_answered_early_carries_no_other_request(
    raw_server: StartServer, greeting: Greeting
) -> None:
    """A server that refuses a long request before it has read it would take the rest for the next request."""

    async def refuses_early(connection: Connection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 413 Too Long\r\nContent-Length: 0\r\n\r\n")
        await connection.rest()

    server = await raw_server(refuses_early)
    async with opened(server.url) as service:
        long = replace(greeting, text="x" * 20_000_000)

        answers = [await service.attempt(long) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [413, 413]
    assert server.connections == 2


async def test_bytes_that_nobody_asked_for_end_the_connection(raw_server: StartServer, greeting: Greeting) -> None:
    """They would be taken for the response to the next request."""
    talked = asyncio.Event()

    async def talks(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK)
        if connection.number == 1:
            await connection.send(OK)
            talked.set()
            await connection.rest()
        else:
            await connection.rest()

    server = await raw_server(talks)
    async with opened(server.url) as service:
        first = await service.attempt(greeting)
        await talked.wait()
        async with asyncio.timeout(60):
            while server.open_connections:  # noqa: ASYNC110 - the server tells
                await asyncio.sleep(0.001)

        second = await service.attempt(greeting)

    assert (first.outcome, second.outcome) == (Outcome.ACCEPTED, Outcome.ACCEPTED)
    assert server.connections == 2


async def test_idle_connections_are_closed_before_the_service_closes_them(
    raw_server: StartServer, greeting: Greeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that crosses with the close of the service has an unknown outcome."""
    monkeypatch.setattr(pool, "KEEP_ALIVE", 0.05)
    server = await raw_server(accepts)
    async with opened(server.url) as service:
        await service.attempt(greeting)
        await asyncio.wait_for(server.all_closed.wait(), 30)

        assert (await service.attempt(greeting)).outcome is Outcome.ACCEPTED

    assert server.connections == 2


async def test_an_address_that_does_not_answer_does_not_hold_up_the_next(
    raw_server: StartServer, greeting: Greeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with several addresses is tried by RFC 8305, and the look-up is shared by all that wait for it."""
    server = await raw_server(accepts)
    port = server.address[1]
    looked_up: list[str] = []

    async def both(self: pool.ConnectionPool) -> None:
        looked_up.append(self._host)
        await asyncio.sleep(0.01)
        stream = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        self._addresses.clear()
        self._addresses.append((socket.AF_INET6, *stream, ("::1", port, 0, 0)))
        self._addresses.append((socket.AF_INET, *stream, ("127.0.0.1", port)))
        self._addresses_until = asyncio.get_running_loop().time() + 10

    monkeypatch.setattr(pool.ConnectionPool, "_look_up", both)
    async with opened(f"http://mail.invalid:{port}") as service:
        answers = await asyncio.gather(*(service.attempt(greeting) for _ in range(5)))

    assert {answer.outcome for answer in answers} == {Outcome.ACCEPTED}
    assert looked_up == ["mail.invalid"]


async def test_a_caller_that_leaves_takes_no_request_of_another_with_it(
    raw_server: StartServer, greeting: Greeting
) -> None:
    """Its connection may already carry the next request when its task ends."""
    server = await raw_server(accepts)
    async with opened(server.url) as service:
        for number in range(50):
            calls = [asyncio.ensure_future(service.attempt(replace(greeting, id=UUID(int=n)))) for n in range(20)]
            for _ in range(number % 7):
                await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            await asyncio.wait(calls, timeout=5)
            assert all(call.done() for call in calls)
            assert {call.result().outcome for call in calls[1::2]} == {Outcome.ACCEPTED}


NINE = b"Mon, 30 Nov 2026 09:00:"

WHOLE = {
    "accepted": b'HTTP/1.1 202 Accepted\r\nServer: x\r\nContent-Length: 17\r\n\r\n{"messageId":"x"}',
    "chunked": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"id":7,\r\n7\r\n"a":42}\r\n0\r\n\r\n',
    "refused": b"HTTP/1.1 422 No\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nnot this",
    "throttled": b"HTTP/1.1 429 Slow\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
    "old": b"HTTP/1.0 503 Busy\r\nDate: " + NINE + b"00 GMT\r\nRetry-After: " + NINE + b"07 GMT\r\n\r\nbusy",
    "empty": b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
}
"""Responses that are cut and changed."""


async def answer_of(client: type[HttpClient], pieces: list[bytes], *, end: str, within: float) -> Answer:
    """The Answer when a server sends these pieces and then closes, resets or waits."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        with suppress(ConnectionError):
            for piece in pieces:
                if piece:
                    await connection.send(piece)
                    await asyncio.sleep(0.002)
        if end == "reset":
            connection.reset()
        elif end == "wait":
            await connection.rest()

    server = RawServer(behave)
    await server.listen()
    try:
        async with opened(server.url, of=client, timeout=within) as service:
            return await service.attempt(Greeting(UUID(int=7), "mary@example.com", "Hey"))
    finally:
        await server.close()


def meaning(answer: Answer) -> tuple[object, ...]:
    """The fields of an answer on which the delivery path acts."""
    wait = answer.retry_after
    if wait is not None and wait > timedelta(minutes=1):
        wait = timedelta(minutes=1)  # a Date that cannot be read is replaced by this machine's clock, which goes on
    waits = (wait, answer.throttled, answer.timed_out)
    return answer.outcome, answer.status_code, *waits, answer.unavailable, answer.provider_id


async def differences(cases: list[tuple[str, list[bytes], str]]) -> list[str]:
    """Compare both clients, a few cases at once."""
    places = asyncio.Semaphore(16)

    async def compare(name: str, pieces: list[bytes], end: str) -> str | None:
        for within in (0.25, 1.0, 4.0):  # seconds of a call; a busy machine may need more than the first
            async with places:
                ours, theirs = [
                    await answer_of(one, pieces, end=end, within=within)
                    for one in (DirectEmailService, HttpEmailService)
                ]
            if meaning(ours) == meaning(theirs):
                return None
            if ours.status_code is not None and theirs.error == "malformed answer":
                return None  # aiohttp drops the status of a whole head that comes in one piece with nonsense
        return f"{name}, {end}, {pieces}: direct {meaning(ours)}, aiohttp {meaning(theirs)}"

    return [one for one in await asyncio.gather(*(compare(*case) for case in cases)) if one]


@pytest.mark.parametrize("name", WHOLE)
async def test_both_clients_read_a_response_alike_wherever_it_is_cut(name: str) -> None:
    """Cut into two pieces at every byte, and ended at every byte."""
    whole = WHOLE[name]
    halves = [(name, [whole[:at], whole[at:]], "close") for at in range(1, len(whole), 3)]
    ended = [(name, [whole[:at]], end) for at in range(0, len(whole), 7) for end in ("close", "reset")]

    assert await differences(halves + ended) == []


SEEDS = 150
"""Changed responses of one run."""

SPICES = (
    *(b"\r\n", b"\n", b" ", b"\t", b":", b"\0", b"\xff", b"0", b"9", b"100"),
    *(b"HTTP/1.1 200 OK\r\n\r\n", b"Content-Length: 3\r\n"),
)


def changed(seed: int) -> tuple[str, list[bytes], str]:
    """A response in which a few bytes are removed, doubled or replaced, cut into pieces."""
    random = Random(seed)
    name = random.choice(list(WHOLE))
    data = bytearray(WHOLE[name])
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(data))
        match random.randrange(3):
            case 0:
                del data[at : at + random.randint(1, 4)]
            case 1:
                data[at:at] = data[at : at + random.randint(1, 20)]
            case _:
                data[at : at + random.randint(0, 2)] = random.choice(SPICES)
    cut = sorted(random.sample(range(len(data) + 1), 2))
    pieces = [bytes(data[: cut[0]]), bytes(data[cut[0] : cut[1]]), bytes(data[cut[1] :])]
    return f"seed {seed} of {name}", pieces, random.choice(("close", "reset", "wait"))


async def test_both_clients_read_changed_responses_alike() -> None:
    """Responses that no server should send: what one of them takes for accepted, the other does too."""
    assert await differences([changed(seed) for seed in range(SEEDS)]) == []
