"""Makes a few requests per second to a node's API at an even pace, to measure its answers meanwhile."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp

USERS = "/api/v1/users"

ASK_TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(slots=True)
class Answers:
    """Durations of the answers in seconds, and the number of errors and missing answers."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def p99(self) -> float:
        """Return the seconds within which 99 of 100 answers came."""
        if len(self.seconds) < 2:
            return max(self.seconds, default=0.0)
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[98]


@asynccontextmanager
async def probing(
    url: str,
    known: Sequence[str],
    answers: Answers,
    *,
    per_second: float,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[None]:
    """During the block, read the `known` users in turn, and create one at every tenth request."""
    async with (
        aiohttp.ClientSession(url, timeout=ASK_TIMEOUT, headers=headers) as http,
        asyncio.TaskGroup() as tasks,
    ):

        async def ask(number: int) -> None:
            began = time.perf_counter()
            try:
                async with _request(http, known, number) as response:
                    await response.read()
                    answers.errors += response.status >= 400
            except (aiohttp.ClientError, TimeoutError):
                answers.errors += 1
            answers.seconds.append(time.perf_counter() - began)

        async def ask_evenly() -> None:
            began, number = time.monotonic(), 0
            while True:
                tasks.create_task(ask(number))
                number += 1
                await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))

        pacemaker = tasks.create_task(ask_evenly())
        yield
        pacemaker.cancel()


def _request(http: aiohttp.ClientSession, known: Sequence[str], number: int) -> aiohttp.client._RequestContextManager:
    if number % 10:
        return http.get(f"{USERS}/{known[number % len(known)]}")
    user = {"firstName": "Ada", "lastName": "Probe", "email": f"{uuid4().hex}@example.com", "timezone": "UTC"}
    return http.post(USERS, json=user)
