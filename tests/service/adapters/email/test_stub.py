"""The fake email service: it injects the configured faults, counts correctly, and can be changed while it runs."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from actors.commands.sandbox.email_stub import EmailStub, Ledger, StubOptions, serve
from actors.commands.sandbox.email_stub.options import latency
from service.domain.messages import Outcome
from service.ports import Greeting
from tests.node.harness import eventually
from tests.service.adapters.email.conftest import MakeClient

MAIL = {"email": "mary@example.com", "message": "Hey, Mary Jones it's your birthday"}

STUB = (sys.executable, "-m", "actors.commands.sandbox.email_stub")


@pytest.fixture
async def http(stub: EmailStub) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that uses no code of heyday."""
    async with aiohttp.ClientSession(stub.url) as session:
        yield session


async def test_it_answers_as_real_ones_do(http: aiohttp.ClientSession) -> None:
    """Tests with the fake must also hold for a real service."""
    async with http.post("/send-email", json=MAIL, headers={"Idempotency-Key": "k"}) as answer:
        body = await answer.json()

    assert answer.status == 200
    assert body.keys() == {"status", "sentTime"}
    assert body["status"] == "sent"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"json": MAIL | {"extra": 1}}, 400),
        ({"json": {"email": "a@b.c"}}, 400),
        ({"json": {"email": "a@b.c", "message": None}}, 400),
        ({"json": {"email": "", "message": "Hey"}}, 400),
        ({"json": ["a@b.c", "Hey"]}, 400),
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
    ],
)
async def test_it_refuses_what_a_strict_service_would(
    content: dict[str, Any], status: int, stub: EmailStub, http: aiohttp.ClientSession
) -> None:
    """A fake that accepts anything hides errors in requests."""
    async with http.post("/send-email", **content) as answer:
        pass

    assert answer.status == status
    assert (stub.ledger.requests, stub.ledger.refused, stub.ledger.accepted) == (1, 1, 0)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/send-email", 405), ("GET", "/nothing", 404)])
async def test_it_serves_nothing_else(method: str, path: str, status: int, http: aiohttp.ClientSession) -> None:
    """A wrong method or path gets an error."""
    async with http.request(method, path) as answer:
        pass

    assert answer.status == status


async def test_it_reveals_duplicates_by_key_with_text_and_time(http: aiohttp.ClientSession) -> None:
    """The fake counts duplicates and does not suppress them, because none must ever happen."""
    for key in ("a", "b", "a"):
        await http.post("/send-email", json=MAIL, headers={"Idempotency-Key": key})
    await http.post("/send-email", json=MAIL)

    async with http.get("/stats?keys=1") as answer:
        stats = await answer.json()

    counts = {name: stats[name] for name in ("requests", "accepted", "keys", "duplicates", "missingKeys")}
    assert counts == {"requests": 4, "accepted": 4, "keys": 2, "duplicates": 1, "missingKeys": 1}
    assert {key: known["count"] for key, known in stats["byKey"].items()} == {"a": 2, "b": 1}
    assert stats["byKey"]["b"] == {**MAIL, "count": 1, "times": stats["byKey"]["b"]["times"]}
    assert stats["firstAcceptedAt"] == stats["byKey"]["a"]["times"][0] <= stats["lastAcceptedAt"]


@pytest.mark.parametrize("way", [("DELETE", "/stats"), ("POST", "/reset")])
async def test_counting_starts_anew_on_request(way: tuple[str, str], http: aiohttp.ClientSession) -> None:
    """One running fake serves many tests."""
    await http.post("/send-email", json=MAIL, headers={"Idempotency-Key": "a"})

    async with http.request(*way) as answer:
        pass
    async with http.get("/stats") as stats:
        counts = await stats.json()

    assert answer.status == 204
    assert not any(counts.values())


async def test_acceptances_are_streamed_from_any_number_on(stub: EmailStub, http: aiohttp.ClientSession) -> None:
    """A check of a hundred thousand greetings reads them in parts, each once."""
    for number in range(2500):
        stub.ledger.accept(key=str(number), email="a@b.c", message="Hey", at=1000 + number)

    async with http.get("/accepted?since=1234") as answer:
        lines = (await answer.text()).splitlines()

    assert len(lines) == 2500 - 1234
    assert lines[0] == '{"number":1234,"key":"1234","at":2234,"email":"a@b.c","message":"Hey"}'


def test_memory_is_bounded_and_the_counts_stay() -> None:
    """A demo that runs for weeks must not grow."""
    ledger = Ledger(keep=80)
    for number in range(1000):
        ledger.accept(key=str(number), email="a@b.c", message="Hey", at=number)
    ledger.accept(key="999", email="a@b.c", message="Hey", at=1001)

    remembered = [row for block in ledger.acceptances() for row in block]

    assert (ledger.accepted, ledger.keys, ledger.duplicates) == (1001, 1000, 1)
    assert 80 <= len(remembered) <= 90
    assert [row.number for row in remembered] == list(range(1001 - len(remembered), 1001))
    assert len(ledger.by_key()) == len(remembered) - 1


async def fates(seed: int | None, client: MakeClient) -> list[tuple[Outcome, int | None]]:
    """Return the outcomes of forty greetings, one after the other."""
    options = StubOptions(error_rate=0.4, accept_then_fail_rate=0.3, seed=seed)
    stub = await serve("127.0.0.1", 0, options)
    service = await client(stub.url)
    answers = [await service.attempt(Greeting(UUID(int=n), "a@b.c", "Hey")) for n in range(40)]
    await stub.close()
    assert stub.ledger.accepted == sum(answer.outcome is not Outcome.TRANSIENT_FAILURE for answer in answers)
    assert stub.ledger.cut == sum(answer.outcome is Outcome.UNKNOWN for answer in answers)
    return [(answer.outcome, answer.status_code) for answer in answers]


async def test_a_seed_repeats_the_sequence_of_faults(client: MakeClient) -> None:
    """A failure must be repeatable."""
    first, again, other = await fates(5, client), await fates(5, client), await fates(6, client)

    assert first == again != other
    assert set(first) == {
        (Outcome.ACCEPTED, 200),
        (Outcome.TRANSIENT_FAILURE, 500),
        (Outcome.TRANSIENT_FAILURE, 503),
        (Outcome.UNKNOWN, None),
    }


async def test_beyond_its_rate_it_asks_for_patience_and_takes_nothing(stub: EmailStub, client: MakeClient) -> None:
    """A throttle is no outage: the service accepts requests again in the next second."""
    stub.change(StubOptions(rate=3, retry_after=2))
    service = await client(stub.url)

    answers = [await service.attempt(Greeting(UUID(int=n), "a@b.c", "Hey")) for n in range(10)]

    # The ten calls are made in one second, or cross into the next.
    taken = sum(answer.outcome is Outcome.ACCEPTED for answer in answers)
    assert taken in (3, 4, 5, 6)
    assert (stub.ledger.accepted, stub.ledger.throttled) == (taken, 10 - taken)
    assert {(answer.status_code, answer.retry_after) for answer in answers} == {
        (200, None),
        (429, timedelta(seconds=2)),
    }


async def test_a_rate_below_one_takes_a_request_in_more_than_a_second(
    stub: EmailStub, client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow service is one to test with. It took nothing at all."""
    stub.change(StubOptions(rate=0.5))
    service = await client(stub.url)
    taken = []
    clock = SimpleNamespace(time_ns=lambda: 0)
    monkeypatch.setattr("actors.commands.sandbox.email_stub.server.time", clock)
    for second in (1000.0, 1001.9, 1002.0, 1003.0):
        clock.monotonic = partial(float, second)
        taken.append((await service.attempt(Greeting(UUID(int=1), "a@b.c", "Hey"))).outcome is Outcome.ACCEPTED)

    assert taken == [True, False, True, False]


async def test_with_a_status_it_takes_nothing(stub: EmailStub, client: MakeClient, greeting: Greeting) -> None:
    """This simulates a wrong key."""
    stub.change(StubOptions(status=401))
    service = await client(stub.url)

    answer = await service.attempt(greeting)

    assert (answer.status_code, stub.ledger.accepted, stub.ledger.refused) == (401, 0, 1)


async def test_a_hang_ends_when_the_client_gives_up_and_is_not_accepted(
    stub: EmailStub, client: MakeClient, greeting: Greeting
) -> None:
    """The fake sees the end of the connection, which shows that the time-out ended the call."""
    stub.change(StubOptions(hang_rate=1.0))
    service = await client(stub.url, timeout=2)

    answer = await service.attempt(greeting)

    await asyncio.wait_for(stub.hang_ended.wait(), 30)
    assert answer.outcome is Outcome.UNKNOWN
    assert (stub.ledger.hangs, stub.ledger.abandoned, stub.ledger.accepted) == (1, 1, 0)


async def test_a_hang_is_cut_in_the_end(stub: EmailStub, client: MakeClient, greeting: Greeting) -> None:
    """A client without a time-out must not hold a connection for ever."""
    stub.change(StubOptions(hang_rate=1.0, hang_for=0.05))
    service = await client(stub.url)

    answer = await service.attempt(greeting)

    assert (answer.outcome, answer.error) == (Outcome.UNKNOWN, "connection lost before an answer (ECONNRESET)")
    assert (stub.ledger.hangs, stub.ledger.abandoned) == (1, 0)


async def test_closing_does_not_wait_for_hangs(stub: EmailStub, client: MakeClient, greeting: Greeting) -> None:
    """Ctrl-C ends the demo at once."""
    stub.change(StubOptions(hang_rate=1.0))
    service = await client(stub.url)
    attempt = asyncio.ensure_future(service.attempt(greeting))
    await asyncio.wait_for(stub.hang_began.wait(), 30)

    await asyncio.wait_for(stub.close(), 30)

    assert (await attempt).outcome is Outcome.UNKNOWN


async def test_latency_delays_the_answer(stub: EmailStub, client: MakeClient, greeting: Greeting) -> None:
    """The benchmark depends on it."""
    stub.change(StubOptions(latency=(0.05, 0.06)))
    service = await client(stub.url)

    answer = await service.attempt(greeting)

    assert answer.outcome is Outcome.ACCEPTED
    assert answer.duration >= 0.045  # timers are rounded to milliseconds


async def test_a_service_that_begins_to_refuse_accepts_no_call_under_way(
    stub: EmailStub, client: MakeClient, greeting: Greeting
) -> None:
    """Each late acceptance would let a node fail as many messages again, and a rehearsal would count them as lost."""
    stub.change(StubOptions(latency=(0.3, 0.3)))
    service = await client(stub.url)

    async def called() -> bool:
        return stub.ledger.requests > 0

    async with asyncio.TaskGroup() as group:
        call = group.create_task(service.attempt(greeting))
        await eventually(called)
        stub.change(StubOptions(status=422))

    assert call.result().status_code == 422
    assert (stub.ledger.accepted, stub.ledger.refused) == (0, 1)


async def test_it_can_be_changed_while_it_runs(http: aiohttp.ClientSession) -> None:
    """Rehearsals and the demo take the service down and bring it back."""
    async with http.put("/options", json={"down": True, "latency": "1ms-2ms", "seed": 9}) as changed:
        options = await changed.json()
    async with http.post("/send-email", json=MAIL) as down:
        pass
    await http.put("/options", json={"down": False})
    async with http.post("/send-email", json=MAIL) as up:
        pass

    assert options["latency"] == [0.001, 0.002]
    assert (options["down"], options["seed"], options["errorRate"]) == (True, 9, 0.0)
    assert (down.status, up.status) == (503, 200)


@pytest.mark.parametrize(
    "changes",
    ["[]", "{", '{"errorRate": 2}', '{"errorRate": "0.5"}', '{"error_rate": 0.5}', '{"down": 1}', '{"keep": 0}'],
)
async def test_options_that_make_no_sense_change_nothing(
    changes: str, stub: EmailStub, http: aiohttp.ClientSession
) -> None:
    """A typing error must not look like a fault that is not injected."""
    before = stub.options

    async with http.put("/options", data=changes) as answer:
        error = (await answer.json())["error"]

    assert (answer.status, stub.options) == (400, before)
    assert error


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0.05", (0.05, 0.05)),
        ("50ms", (0.05, 0.05)),
        ("0.05-0.2", (0.05, 0.2)),
        ("50-200ms", (0.05, 0.2)),
        ("50ms-1s", (0.05, 1.0)),
        ([0, 1], (0.0, 1.0)),
        (2, (2.0, 2.0)),
    ],
)
def test_latency_is_read_in_all_its_forms(text: object, seconds: tuple[float, float]) -> None:
    """Durations can be written in several units."""
    read = latency(text)

    assert read == seconds


@pytest.mark.parametrize("text", ["", "fast", "-1", "0.1-", "1m", [1], ["a", "b"]])
def test_latency_that_is_none_is_refused(text: object) -> None:
    """An invalid value is not taken for zero."""
    with pytest.raises((ValueError, TypeError)):
        latency(text)


def test_rates_must_fit_together() -> None:
    """Each request has one outcome, so the rates may add up to 1 at most."""
    with pytest.raises(ValueError, match=r"hang_rate must be between.*together"):
        StubOptions(error_rate=0.6, hang_rate=1.5)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_says_where_it_listens_and_ends_on_a_signal(how: signal.Signals) -> None:
    """Scripts read the port from the line, and stop the process with a signal."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "actors.commands.sandbox.email_stub",
        "--port",
        "0",
        "--error-rate",
        "1",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode().strip()
    url = line.removeprefix("email stub listening on ") + "/send-email"
    async with aiohttp.request("POST", url, json=MAIL) as answer:
        pass

    process.send_signal(how)
    await asyncio.wait_for(process.communicate(), 120)

    assert (answer.status, process.returncode) == (500, 0)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--error-rate", "0.6", "--hang-rate", "0.6"], "together"),
        (["--latency", "fast"], "expected seconds"),
        (["--host", "192.0.2.1"], "email-stub cannot listen"),
    ],
)
async def test_the_command_says_what_is_wrong_with_its_arguments(arguments: list[str], complaint: str) -> None:
    """A typing error must not cause a traceback."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "actors.commands.sandbox.email_stub",
        "--port",
        "0",
        *arguments,
        stderr=asyncio.subprocess.PIPE,
    )

    _, said = await asyncio.wait_for(process.communicate(), 120)

    assert process.returncode not in (0, None)
    assert complaint in said.decode()
    assert "Traceback" not in said.decode()
