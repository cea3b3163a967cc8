"""The circuit breaker in front of the email service, which also tells the service's faults from the message's.

Only an acceptance is a success: while the service accepts no message, the circuit opens, for any answers. A throttle is
neither a success nor a failure. aiobreaker keeps the state and counts the consecutive failures. What it leaves open is
decided here: the loop's clock says when an open circuit becomes half open (aiobreaker would ask the wall clock, which
jumps), one trial at a time is let through a half-open one, and a result is not counted when the circuit has changed
since its call began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Protocol

import aiobreaker  # type: ignore[import-untyped]  # it comes without types

from service.domain.messages import Answer, Outcome, UnavailableReason
from service.domain.service_health import ServiceHealth
from service.ports import CircuitOpen, CircuitState, Greeting


class Attempts(Protocol):
    """Makes one attempt, within `timeout`, and never raises for what the service does."""

    timeout: timedelta

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def attempt(self, greeting: Greeting) -> Answer: ...


class Timer(Protocol):
    """A call that may still be called off."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The part of an event loop that is its clock: seconds that never jump, and a call at one of them."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer: ...


OnChange = Callable[[CircuitState, CircuitState, UnavailableReason | None], None]
"""Takes the old and the new state, and the reason why the circuit is not closed."""


class CircuitBreakingEmailService:
    """The port EmailService: opens after `failures` consecutive failures, and after `reset` lets a trial through.

    `on_change` is called on every change of state, `on_result` on every success and failure; both must not block.
    """

    def __init__(
        self,
        http: Attempts,
        *,
        failures: int,
        reset: timedelta,
        clock: Clock | None = None,
        on_change: OnChange = lambda old, new, reason: None,
        on_result: Callable[[bool], None] = lambda success: None,
    ) -> None:
        self._http = http
        self._reset = reset.total_seconds()
        self._breaker = _Breaker(fail_max=failures)
        self._health = ServiceHealth(refusals=failures)
        self._unavailable: UnavailableReason | None = None
        self._given_clock = clock
        self._on_change = on_change
        self._on_result = on_result
        self._state = CircuitState.CLOSED
        self._changes = 0
        self._trial_under_way = False
        self._reopening: Timer | None = None
        self._waiters: dict[asyncio.Future[bool], None] = {}  # in the order in which they came

    @property
    def circuit(self) -> CircuitState:
        """The state of the circuit."""
        return self._state

    @property
    def unavailable(self) -> UnavailableReason | None:
        """The reason why the circuit is not closed; None while it is."""
        return self._unavailable

    @property
    def failures_in_a_row(self) -> int:
        """Failures that count against the circuit since the last success."""
        return int(self._breaker.fail_counter)

    async def open(self) -> None:
        """Make ready for attempts."""
        await self._http.open()

    async def close(self) -> None:
        """Close the connections. Callers that still wait for the circuit get CircuitOpen."""
        if self._reopening is not None:
            self._reopening.cancel()
        self._wake(changed=False)
        await self._http.close()

    @property
    def wants_trial(self) -> bool:
        """True while the circuit is half open and no trial is under way."""
        return self._state is CircuitState.HALF_OPEN and not self._trial_under_way

    async def send(self, greeting: Greeting, *, last_attempt: float | None = None, wait: bool = True) -> Answer:
        """Make one attempt. Never raises for what the service does: that is the Answer.

        While the circuit is half open, one trial is under way at a time; other callers wait for its result, at most
        as long as a call may take, or not at all without `wait`. Raises CircuitOpen when nothing was sent, also if it
        is no longer `allowed` then.
        """
        if self._state is not CircuitState.CLOSED:
            await self._wait_for_turn(wait=wait)
            if not greeting.allowed():
                raise CircuitOpen("what was allowed before the wait for the circuit is so no longer")
        trial = self._trial_under_way = self._state is CircuitState.HALF_OPEN
        clock = self._clock
        changes, began = self._changes, clock.time()
        try:
            answer = self._health.judge(
                await self._http.attempt(greeting), began=began, last_attempt=last_attempt, at=clock.time()
            )
            if not answer.throttled:
                success = answer.outcome is Outcome.ACCEPTED
                self._on_result(success)
                # A call that began before the circuit opened says nothing about the service as it is now.
                if changes == self._changes:
                    self._count(success=success)
            return answer
        finally:
            if trial:
                # Without a verdict (cancelled, or asked to slow down) the turn passes to the next caller.
                self._trial_under_way = False
                self._wake(changed=True)

    async def admits(self, *, within: float) -> bool:
        """Wait up to `within` seconds for the circuit not to be open; False when it still is."""
        until = self._clock.time() + within
        while self._state is CircuitState.OPEN:
            if not await self._change(until):
                return False
        return True

    async def _wait_for_turn(self, *, wait: bool) -> None:
        """Return once the circuit is closed or this caller may make the trial. Raises CircuitOpen."""
        until = self._clock.time() + self._http.timeout.total_seconds()
        while self._state is CircuitState.HALF_OPEN and self._trial_under_way:
            if not wait or not await self._change(until):
                raise CircuitOpen("no result of the trial call yet")
        if self._state is CircuitState.OPEN:
            raise CircuitOpen("the circuit of the email service is open")

    async def _change(self, until: float) -> bool:
        """Wait for the next change, or the end of a trial; False at `until`."""
        if self._clock.time() >= until:
            return False
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(until, partial(_settle, waiter, changed=False))
        self._waiters[waiter] = None
        try:
            return await waiter
        finally:
            timer.cancel()
            del self._waiters[waiter]

    def _wake(self, *, changed: bool) -> None:
        for waiter in self._waiters:
            _settle(waiter, changed=changed)

    def _count(self, *, success: bool) -> None:
        if success and self._state is CircuitState.CLOSED and self.failures_in_a_row == 0:
            return  # it changes nothing
        # Only results pass through aiobreaker, never the calls: the error that it raises when it trips is about a
        # message that was sent, and would otherwise have to be told from the one about a message that was not.
        with suppress(_AttemptError, aiobreaker.CircuitBreakerError):
            self._breaker.call(_succeed if success else _fail)
        self._follow()

    def _half_open(self) -> None:
        self._breaker.half_open()
        self._follow()

    def _follow(self) -> None:
        """Act on a change of the breaker's state, if there is one."""
        old, new = self._state, _STATES[self._breaker.current_state]
        if new is old:
            return
        self._state = new
        self._changes += 1
        if new is CircuitState.CLOSED:
            self._unavailable = None
        elif new is CircuitState.OPEN:
            # A trial tells how the service is now. The many failures before it may be of another cause.
            after_trial = old is CircuitState.HALF_OPEN
            reason = self._health.latest_reason if after_trial else self._health.reason
            self._unavailable = reason or self._unavailable
        if new is CircuitState.OPEN:
            self._reopening = self._clock.call_at(self._clock.time() + self._reset, self._half_open)
        self._wake(changed=True)
        self._on_change(old, new, self._unavailable)

    @property
    def _clock(self) -> Clock:
        return self._given_clock or asyncio.get_running_loop()


class _Breaker(aiobreaker.CircuitBreaker):  # type: ignore[misc]  # it comes without types
    """aiobreaker's state machine without its clock, which is naive, deprecated and two different ones."""

    def open(self) -> None:
        self.state = self._state_storage.state = aiobreaker.CircuitBreakerState.OPEN

    @property
    def opens_at(self) -> None:
        return None


class _AttemptError(Exception):
    """An attempt failed."""


def _settle(waiter: asyncio.Future[bool], *, changed: bool) -> None:
    if not waiter.done():
        waiter.set_result(changed)


def _succeed() -> None:
    """A call that aiobreaker counts as a success."""


def _fail() -> None:
    raise _AttemptError


_STATES = {
    aiobreaker.CircuitBreakerState.CLOSED: CircuitState.CLOSED,
    aiobreaker.CircuitBreakerState.OPEN: CircuitState.OPEN,
    aiobreaker.CircuitBreakerState.HALF_OPEN: CircuitState.HALF_OPEN,
}
