"""The email service of a simulation: it keeps the books of what it accepted, and may be in any mood."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from random import Random
from uuid import UUID

from service.adapters.email.answers import answer_to
from service.domain.messages import Answer, Outcome
from service.ports import Greeting
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Tell


class Mood(StrEnum):
    """The states of the service."""

    WELL = "well"
    DOWN = "down"
    """No connection is made."""
    ERRATIC = "erratic"
    """Anything."""
    SLOW = "slow"
    """Answers take up to three time-outs; the service goes on with each call that it has begun."""
    LOSING = "losing"
    """It accepts, and the connection is lost before the answer."""
    THROTTLING = "throttling"
    """It takes a few calls a second, and answers 429 to the others."""
    UNAUTHORISED = "unauthorised"
    """It answers 401, as to a wrong key."""
    REFUSING = "refusing"
    """It answers 400 to everything, as to a mistake in a text."""


ACCEPTS_NOBODY = (Mood.DOWN, Mood.UNAUTHORISED, Mood.REFUSING)

STATUSES = {Mood.UNAUTHORISED: 401, Mood.REFUSING: 400}

TAKEN_PER_SECOND = 3
"""Calls that it takes in each second while it throttles."""


class Post:
    """Accepts greetings, each as often as it is asked to. The fallback writes into the books of the `primary` one."""

    def __init__(
        self,
        loop: VirtualLoop,
        rng: Random,
        tell: Tell,
        *,
        on_accepted: Callable[[UUID], None],
        primary: Post | None = None,
    ) -> None:
        self.mood = Mood.WELL
        self.takes = 0.05
        """Seconds that an answer takes at most while it is well."""
        self.moods: Counter[Mood] = Counter()
        """The number of calls in each mood."""
        self.mood_stays = False
        """Whether its mood is the same until the faults are over."""
        self.called: dict[UUID, list[float]] = defaultdict(list)
        """When it was called for each message, be it in vain."""
        self.refused: set[UUID] = set()
        """The messages that it has answered 400 or 422."""
        self.accepted_at: dict[UUID, float] = {}
        """When it accepted each message last."""
        self.accepted: Counter[UUID] = Counter()
        if primary is not None:
            self.called, self.refused = primary.called, primary.refused
            self.accepted_at, self.accepted = primary.accepted_at, primary.accepted
        self.own: set[UUID] = set()
        """The messages that this service has accepted itself."""
        self._second = self._taken = 0
        self._loop = loop
        self._rng = rng
        self._tell = tell
        self._on_accepted = on_accepted

    def accept(self, greeting: Greeting) -> None:
        """From here on it counts."""
        self.own.add(greeting.id)
        self.accepted[greeting.id] += 1
        self.accepted_at[greeting.id] = self._loop.time()
        self._tell("accepted", id=greeting.id, times=self.accepted[greeting.id])
        self._on_accepted(greeting.id)

    async def serve(self, greeting: Greeting, answer: asyncio.Future[int | None], timeout: float) -> None:
        """Read a request; the answer is a status code, or None for a connection that is cut."""
        rng, mood = self._rng, self.mood
        if mood is Mood.ERRATIC:
            mood = rng.choice([Mood.WELL, Mood.ERRATIC, Mood.SLOW, Mood.LOSING])
        await asyncio.sleep(rng.random() * (3 * timeout if mood is Mood.SLOW else self.takes))
        status: int | None = 200
        if mood is Mood.ERRATIC:
            status = rng.choice([500, 503, 429, 409, 302, 422, None])
            if status in (500, 409) and rng.random() < 0.5:
                self.accept(greeting)  # and it failed then, or another call with this key is under way
        elif mood in STATUSES:
            status = STATUSES[mood]
        elif mood is Mood.THROTTLING and not self._takes_another():
            status = 429
        else:
            self.accept(greeting)
            if mood is Mood.LOSING:
                status = None
        if status in (400, 422):
            self.refused.add(greeting.id)
        await asyncio.sleep(rng.random() * 0.01)
        if not answer.done():
            answer.set_result(status)

    def _takes_another(self) -> bool:
        if int(self._loop.time()) != self._second:
            self._second, self._taken = int(self._loop.time()), 0
        self._taken += 1
        return self._taken <= TAKEN_PER_SECOND


class Calls:
    """One node's calls of the service: what stands before the circuit (`Attempts`)."""

    def __init__(
        self, loop: VirtualLoop, post: Post, *, timeout: timedelta, on_call: Callable[[Greeting], None]
    ) -> None:
        self.timeout = timeout
        self._loop = loop
        self._post = post
        self._on_call = on_call

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def attempt(self, greeting: Greeting) -> Answer:
        """Make one attempt."""
        self._on_call(greeting)
        self._post.moods[self._post.mood] += 1
        self._post.called[greeting.id].append(self._loop.time())
        began, within = self._loop.time(), self.timeout.total_seconds()

        def took() -> float:
            return self._loop.time() - began

        if self._post.mood is Mood.DOWN:
            await asyncio.sleep(0.01)
            return Answer(Outcome.TRANSIENT_FAILURE, took(), error="no connection")
        answer: asyncio.Future[int | None] = self._loop.create_future()
        self._loop.in_process(None, self._post.serve(greeting, answer, within), name="post")
        try:
            async with asyncio.timeout(within):
                status = await answer
        except TimeoutError:
            return Answer(Outcome.UNKNOWN, took(), error="no answer in time", timed_out=True)
        if status is None:
            return Answer(Outcome.UNKNOWN, took(), error="the connection was lost")
        return answer_to(status, {"Retry-After": "1"} if status == 429 else {}, duration=took())
