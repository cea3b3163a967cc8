"""The email service of a simulation: it keeps the books of what it accepted, and may be in any mood."""

from __future__ import annotations

import asyncio
from collections import Counter
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
    """How the service is."""

    WELL = "well"
    DOWN = "down"
    """No connection is made."""
    ERRATIC = "erratic"
    """Anything."""
    SLOW = "slow"
    """Answers take up to three times as long as anybody waits; it goes on with what it has begun."""
    LOSING = "losing"
    """It accepts, and the connection is lost before the answer."""


class Post:
    """Accepts greetings, each as often as it is asked to."""

    def __init__(self, loop: VirtualLoop, rng: Random, tell: Tell, *, on_accepted: Callable[[UUID], None]) -> None:
        self.mood = Mood.WELL
        self.takes = 0.05
        """Seconds that an answer takes at most while it is well."""
        self.accepted: Counter[UUID] = Counter()
        self._loop = loop
        self._rng = rng
        self._tell = tell
        self._on_accepted = on_accepted

    def accept(self, greeting: Greeting) -> None:
        """From here on it counts."""
        self.accepted[greeting.id] += 1
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
        else:
            self.accept(greeting)
            if mood is Mood.LOSING:
                status = None
        await asyncio.sleep(rng.random() * 0.01)
        if not answer.done():
            answer.set_result(status)


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
        began, within = self._loop.time(), self.timeout.total_seconds()

        def took() -> float:
            return self._loop.time() - began

        if self._post.mood is Mood.DOWN:
            await asyncio.sleep(0.01)
            return Answer(Outcome.REJECTED, took(), error="no connection")
        answer: asyncio.Future[int | None] = self._loop.create_future()
        self._loop.in_process(None, self._post.serve(greeting, answer, within), name="post")
        try:
            async with asyncio.timeout(within):
                status = await answer
        except TimeoutError:
            return Answer(Outcome.UNKNOWN, took(), error="no answer in time")
        if status is None:
            return Answer(Outcome.UNKNOWN, took(), error="the connection was lost")
        return answer_to(status, {"Retry-After": "1"} if status == 429 else {}, duration=took())
