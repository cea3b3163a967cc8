"""Tests the circuit on a clock that the test moves: opening, trials, and waiting callers."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest

from actors.commands.sandbox.email_stub import EmailStub
from service.adapters.email import CircuitBreakingEmailService
from service.domain.messages import Answer, Outcome, UnavailableReason
from service.ports import CircuitOpen, CircuitState, EmailService, Greeting
from tests.service.adapters.email.conftest import MakeClient

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN

ACCEPTED = Answer(Outcome.ACCEPTED, 0.01, 200)
REFUSED = Answer(Outcome.PERMANENT_FAILURE, 0.01, 422)
REJECTED = Answer(Outcome.TRANSIENT_FAILURE, 0.01, 503, spent=False)
UNREACHABLE = Answer(Outcome.TRANSIENT_FAILURE, 0.01, spent=False)
UNKNOWN = Answer(Outcome.UNKNOWN, 0.01, spent=False)
UNAUTHORISED = Answer(Outcome.TRANSIENT_FAILURE, 0.01, 401, spent=False)
SLOW_DOWN = Answer(Outcome.TRANSIENT_FAILURE, 0.01, 429, retry_after=timedelta(seconds=3), throttled=True, spent=False)

GREETING = Greeting(UUID(int=1), "mary@example.com", "Hey")


class ManualTimer:
    """A timer of the manual clock, which can be cancelled."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self._callback = None

    @property
    def cancelled(self) -> bool:
        return self._callback is None

    def run(self) -> None:
        if self._callback is not None:
            self._callback()


class ManualClock:
    """A clock that only a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._order = count()
        self._timers: list[tuple[float, int, ManualTimer]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object], /) -> ManualTimer:
        timer = ManualTimer(callback)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            self.now, _, timer = heapq.heappop(self._timers)
            timer.run()
        self.now = until

    @property
    def pending(self) -> int:
        """The timers that are not cancelled."""
        return sum(not timer.cancelled for _, _, timer in self._timers)


class ScriptedAttempts:
    """Attempts that the test ends with an outcome."""

    timeout = timedelta(seconds=10)

    def __init__(self) -> None:
        self.under_way: list[asyncio.Future[Answer]] = []
        self.made = 0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def attempt(self, greeting: Greeting) -> Answer:
        end: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.under_way.append(end)
        self.made += 1
        try:
            return await end
        finally:
            self.under_way.remove(end)


class Bench:
    """A circuit that opens after three failures for 30 seconds, and everything around it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.attempts = ScriptedAttempts()
        self.changes: list[tuple[CircuitState, CircuitState]] = []
        self.results: list[bool] = []
        self.service = CircuitBreakingEmailService(
            self.attempts,
            failures=3,
            reset=timedelta(seconds=30),
            clock=self.clock,
            on_change=lambda old, new, _reason: self.changes.append((old, new)),
            on_result=self.results.append,
        )

    async def start(self) -> asyncio.Task[Answer]:
        """Begin a call, and return when it waits."""
        task = asyncio.get_running_loop().create_task(self.service.send(GREETING))
        await settle()
        return task

    async def call(self, answer: Answer) -> Answer:
        """Make a whole call with this answer."""
        task = await self.start()
        self.attempts.under_way[-1].set_result(answer)
        return await task

    async def open_circuit(self) -> None:
        """Fail until the circuit opens."""
        for _ in range(3):
            await self.call(REJECTED)

    async def half_open_circuit(self) -> None:
        """Fail until the circuit opens, and let the reset time pass."""
        await self.open_circuit()
        self.clock.advance(30)


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def bench() -> Bench:
    """A closed circuit."""
    return Bench()


async def test_it_opens_after_so_many_failures_in_a_row_and_reports_each_answer(bench: Bench) -> None:
    """The call that opens the circuit was sent, so the caller gets its answer and no error."""
    answers = [await bench.call(answer) for answer in (REJECTED, UNKNOWN, UNREACHABLE)]

    assert answers == [REJECTED, UNKNOWN, UNREACHABLE]
    assert (bench.service.circuit, bench.changes) == (OPEN, [(CLOSED, OPEN)])
    assert bench.results == [False, False, False]


async def test_an_acceptance_starts_the_count_anew(bench: Bench) -> None:
    """Only failures in a row are an outage."""
    for answer in (REJECTED, REJECTED, ACCEPTED, REJECTED, REJECTED):
        await bench.call(answer)

    assert bench.service.circuit is CLOSED
    assert bench.results == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (REFUSED, UnavailableReason.REFUSING),
        (UNREACHABLE, UnavailableReason.UNREACHABLE),
        (UNAUTHORISED, UnavailableReason.NOT_AUTHORISED),
        (replace(UNKNOWN, timed_out=True), UnavailableReason.TOO_SLOW),
    ],
)
async def test_it_opens_after_any_answers_without_an_acceptance_and_says_why(
    bench: Bench, answer: Answer, reason: UnavailableReason
) -> None:
    """An error in a text, answered 400 for every message, must not end all messages."""
    before = bench.service.unavailable
    for _ in range(3):
        await bench.call(answer)
    opened = bench.service.circuit, bench.service.unavailable
    bench.clock.advance(30)
    half_open = bench.service.circuit, bench.service.unavailable
    await bench.call(ACCEPTED)

    assert before is None
    assert (opened, half_open) == ((OPEN, reason), (HALF_OPEN, reason))
    assert (bench.service.circuit, bench.service.unavailable) == (CLOSED, None)


async def test_after_a_failed_trial_the_reason_is_that_of_the_trial(bench: Bench) -> None:
    """After an outage the key may be wrong. The reason of the outage hid that for minutes: a trial is made rarely."""
    await bench.half_open_circuit()
    during_outage = bench.service.unavailable

    await bench.call(UNAUTHORISED)

    assert during_outage is UnavailableReason.REFUSING
    assert (bench.service.circuit, bench.service.unavailable) == (OPEN, UnavailableReason.NOT_AUTHORISED)


async def test_without_an_acceptance_refusals_beyond_the_bound_are_not_final(bench: Bench) -> None:
    """Otherwise calls under way when the circuit opens, and later trials, would end their messages, too."""
    under_way = [await bench.start() for _ in range(5)]
    for end in list(bench.attempts.under_way):
        end.set_result(REFUSED)
    answers = await asyncio.gather(*under_way)
    bench.clock.advance(30)
    trial = await bench.call(REFUSED)

    assert [answer.outcome for answer in answers].count(Outcome.PERMANENT_FAILURE) == 3
    assert (trial.outcome, trial.spent) == (Outcome.TRANSIENT_FAILURE, False)


async def test_being_asked_to_slow_down_is_neither_success_nor_failure(bench: Bench) -> None:
    """The service works, so the circuit must not open. But 429 between failures must not hide an outage."""
    for answer in (SLOW_DOWN, SLOW_DOWN, SLOW_DOWN, REJECTED, REJECTED, SLOW_DOWN):
        await bench.call(answer)
    closed = bench.service.circuit

    await bench.call(REJECTED)

    assert (closed, bench.service.circuit) == (CLOSED, OPEN)
    assert bench.results == [False, False, False]


async def test_while_it_is_open_nothing_is_sent(bench: Bench) -> None:
    """A service that is down costs no attempts."""
    await bench.open_circuit()

    with pytest.raises(CircuitOpen):
        await bench.service.send(GREETING)

    assert bench.attempts.made == 3


async def test_it_becomes_half_open_when_the_clock_says_so_without_any_call(bench: Bench) -> None:
    """The gauge must not show an open circuit all night because no message is due."""
    await bench.open_circuit()
    bench.clock.advance(29.9)
    before = bench.service.circuit

    bench.clock.advance(0.1)

    assert (before, bench.service.circuit) == (OPEN, HALF_OPEN)


async def test_half_open_lets_one_trial_through_and_the_others_go_on_after_its_success(bench: Bench) -> None:
    """A service that recovers must not get all waiting calls at once."""
    await bench.half_open_circuit()
    trial, *others = [await bench.start() for _ in range(5)]
    under_way = len(bench.attempts.under_way)

    bench.attempts.under_way[0].set_result(ACCEPTED)
    await settle()

    assert (under_way, trial.done(), len(bench.attempts.under_way)) == (1, True, 4)
    assert bench.changes[-1] == (HALF_OPEN, CLOSED)
    await finish(bench, others)


async def test_a_caller_that_has_another_service_does_not_wait_for_the_trial(bench: Bench) -> None:
    """It is told at once that nothing was sent."""
    await bench.half_open_circuit()
    wanted = bench.service.wants_trial
    trial = await bench.start()

    with pytest.raises(CircuitOpen):
        await bench.service.send(GREETING, wait=False)

    assert (wanted, bench.service.wants_trial, len(bench.attempts.under_way)) == (True, False, 1)
    await finish(bench, [trial])


async def test_when_the_trial_fails_the_others_are_told_that_nothing_was_sent(bench: Bench) -> None:
    """They spend no attempt, and the circuit is open for another full reset time."""
    await bench.half_open_circuit()
    trial, *others = [await bench.start() for _ in range(5)]

    bench.attempts.under_way[0].set_result(UNKNOWN)
    results = await asyncio.gather(trial, *others, return_exceptions=True)

    assert results[0] == UNKNOWN
    assert [type(result) for result in results[1:]] == [CircuitOpen] * 4
    assert bench.attempts.made == 4
    bench.clock.advance(29.9)
    assert bench.service.circuit is OPEN
    bench.clock.advance(0.1)
    assert bench.service.circuit is HALF_OPEN


async def test_the_next_trial_closes_it_after_a_trial_that_failed(bench: Bench) -> None:
    """One success ends an outage of any length."""
    await bench.half_open_circuit()
    await bench.call(REJECTED)
    bench.clock.advance(30)

    await bench.call(ACCEPTED)

    assert bench.changes == [
        (CLOSED, OPEN),
        (OPEN, HALF_OPEN),
        (HALF_OPEN, OPEN),
        (OPEN, HALF_OPEN),
        (HALF_OPEN, CLOSED),
    ]


async def test_closed_again_it_takes_the_full_number_of_failures_to_open(bench: Bench) -> None:
    """Failures before the outage do not count."""
    await bench.half_open_circuit()
    await bench.call(ACCEPTED)

    for _ in range(2):
        await bench.call(REJECTED)

    assert bench.service.circuit is CLOSED


@pytest.mark.parametrize("end", ["asked to slow down", "cancelled", "crashed"])
async def test_a_trial_without_a_verdict_passes_the_turn_to_the_next(bench: Bench, end: str) -> None:
    """Otherwise a cancelled trial keeps the circuit half-open, and all callers wait."""
    await bench.half_open_circuit()
    trial, *others = [await bench.start() for _ in range(3)]

    if end == "cancelled":
        trial.cancel()
    elif end == "crashed":
        bench.attempts.under_way[0].set_exception(ZeroDivisionError())
    else:
        bench.attempts.under_way[0].set_result(SLOW_DOWN)
    await asyncio.wait([trial])
    await settle()

    assert (bench.service.circuit, len(bench.attempts.under_way), bench.attempts.made) == (HALF_OPEN, 1, 5)
    assert trial.cancelled() == (end == "cancelled")
    assert end == "asked to slow down" or trial.cancelled() or trial.exception() is not None
    await finish(bench, others)


async def test_waiting_for_a_trial_ends_after_the_time_that_a_call_may_take(bench: Bench) -> None:
    """Every wait has a deadline."""
    await bench.half_open_circuit()
    trial = await bench.start()
    waiting = await bench.start()

    bench.clock.advance(10)

    with pytest.raises(CircuitOpen):
        await waiting
    await finish(bench, [trial])


async def test_calls_begun_before_it_opened_do_not_count_against_a_trial(bench: Bench) -> None:
    """Hundreds of calls are in flight when a service goes down. Their late failures would keep the circuit open."""
    early = [await bench.start() for _ in range(3)]
    await bench.open_circuit()
    bench.attempts.under_way[0].set_result(UNKNOWN)
    await settle()
    bench.clock.advance(30)
    after_reset = bench.service.circuit

    bench.attempts.under_way[0].set_result(UNKNOWN)
    await settle()
    bench.attempts.under_way[0].set_result(ACCEPTED)
    answers = await asyncio.gather(*early)

    assert (after_reset, bench.service.circuit) == (HALF_OPEN, HALF_OPEN)
    assert answers == [UNKNOWN, UNKNOWN, ACCEPTED]
    assert bench.results == [False] * 5 + [True]


async def test_admits_waits_until_it_is_half_open(bench: Bench) -> None:
    """Delivery stops consuming while the circuit is open, and must wake up without polling."""
    closed = await bench.service.admits(within=0)
    await bench.open_circuit()
    waiting = asyncio.ensure_future(bench.service.admits(within=60))
    await settle()
    before = waiting.done()

    bench.clock.advance(30)

    assert (closed, before, await waiting) == (True, False, True)
    assert await bench.service.admits(within=0)


@pytest.mark.parametrize("within", [0.0, 5.0])
async def test_admits_says_no_when_it_is_still_open(bench: Bench, within: float) -> None:
    """The caller has other work, such as noticing that it must stop."""
    await bench.open_circuit()
    waiting = asyncio.ensure_future(bench.service.admits(within=within))
    await settle()

    bench.clock.advance(within)

    assert await waiting is False


async def test_who_may_no_longer_send_after_the_wait_does_not_and_the_turn_passes_on(bench: Bench) -> None:
    """The wait for a trial is longer than a lease lasts, so another node may have taken over the message."""
    await bench.half_open_circuit()
    trial = await bench.start()
    late = asyncio.ensure_future(bench.service.send(replace(GREETING, allowed=lambda: False)))
    await settle()
    next_one = await bench.start()

    bench.attempts.under_way[0].set_result(SLOW_DOWN)  # no verdict: the turn goes to the next
    await settle()

    with pytest.raises(CircuitOpen):
        await late
    assert bench.attempts.made == 5
    await finish(bench, [trial, next_one])


@pytest.mark.parametrize("who", ["admits", "send"])
async def test_a_cancelled_waiter_leaves_no_timer_behind(bench: Bench, who: str) -> None:
    """Thousands of callers wait during an outage."""
    await bench.half_open_circuit()
    trial = await bench.start()
    if who == "admits":
        bench.attempts.under_way[0].set_result(REJECTED)
        await trial
    before = bench.clock.pending
    waiting = asyncio.ensure_future(
        bench.service.admits(within=60) if who == "admits" else bench.service.send(GREETING)
    )
    await settle()
    meanwhile = bench.clock.pending

    waiting.cancel()
    await asyncio.wait([waiting])

    assert (meanwhile - before, bench.clock.pending - before, waiting.cancelled()) == (1, 0, True)
    if who == "send":
        await finish(bench, [trial])


async def test_close_ends_every_wait(bench: Bench) -> None:
    """A node that stops does not wait for a service that is down."""
    await bench.open_circuit()
    waiting = asyncio.ensure_future(bench.service.admits(within=3600))
    await settle()

    await bench.service.close()

    assert await waiting is False
    assert bench.clock.pending == 0


async def test_with_the_real_clock_and_the_real_client_it_opens_and_closes_again(
    stub: EmailStub, client: MakeClient
) -> None:
    """A whole outage: down, open, back, closed."""
    service: EmailService
    service = CircuitBreakingEmailService(await client(stub.url), failures=2, reset=timedelta(milliseconds=50))
    stub.change(stub.options.changed({"down": True}))
    down = [(await service.send(GREETING)).status_code for _ in range(2)]
    stub.change(stub.options.changed({"down": False}))
    opened = service.circuit

    admitted = await service.admits(within=5)
    answer = await service.send(GREETING)

    assert (down, opened, admitted) == ([503, 503], OPEN, True)
    assert (answer.outcome, service.circuit, stub.ledger.accepted) == (Outcome.ACCEPTED, CLOSED, 1)


async def finish(bench: Bench, tasks: list[asyncio.Task[Answer]]) -> None:
    """End the calls that are under way with success."""
    while not all(task.done() for task in tasks):
        for end in list(bench.attempts.under_way):
            if not end.done():
                end.set_result(ACCEPTED)
        await settle()
