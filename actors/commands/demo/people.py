"""Makes up users and signs them up through the HTTP API. Their days fall within the demo."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from itertools import count, cycle, product
from typing import Any, TypeVar

import aiohttp
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from actors.commands.demo.cities import CITIES, City
from actors.commands.demo.days import nine_after

T = TypeVar("T")

PARALLEL_REQUESTS = 8
"""Requests at a time."""

REQUEST_TIMEOUT = 10.0
"""Seconds for one request."""

TRIES = 5
"""Attempts for one user. A node that is busy, or restarts an actor, accepts the user a little later."""


class SignUpFailed(Exception):
    """The API did not accept a user."""


class NotNow(SignUpFailed):
    """The API cannot accept users at the moment."""


class Crowd:
    """Makes up users as JSON for the API. Their numbers start at `number` and make each address unique."""

    def __init__(self, number: int) -> None:
        self._numbers = count(number)
        # In one city a name is repeated only after every combination was used.
        self._names = {city: cycle(_shuffled(product(city.first_names, city.last_names))) for city in CITIES}

    def invite(self, many: int, *, since: datetime) -> Iterator[dict[str, Any]]:
        """Yield this many users, each due at the next 09:00 after `since`. Every city has one before any has two."""
        everywhere = _shuffled(CITIES)
        more = random.choices(CITIES, [city.weight for city in CITIES], k=max(0, many - len(CITIES)))  # noqa: S311
        for city in [*everywhere[:many], *more]:
            day, _ = nine_after(since, city.timezone)
            yield self._person(city, day)

    def _person(self, city: City, day: date) -> dict[str, Any]:
        first_name, last_name = next(self._names[city])
        celebrated, other = _shuffled(("birthdayDate", "anniversaryDate"))
        slug = "".join(letter for letter in city.timezone.rpartition("/")[2].lower() if letter.isalpha())
        return {
            "firstName": first_name,
            "lastName": last_name,
            "email": f"{slug}.{next(self._numbers)}@example.com",
            "timezone": city.timezone,
            "locationCity": city.name,
            "locationCountry": city.country,
            celebrated: _years_before(day, random.randint(1, 60)),  # noqa: S311 - sample data
            # The other date is any day of the year.
            other: _years_before(day - timedelta(days=random.randint(10, 350)), random.randint(1, 30)),  # noqa: S311
        }


def _shuffled(things: Iterable[T]) -> list[T]:
    found = list(things)
    random.shuffle(found)
    return found


def _years_before(day: date, years: int) -> str:
    try:
        return day.replace(year=day.year - years).isoformat()
    except ValueError:
        # 29 February: the year must be a leap year, a multiple of four years away.
        return day.replace(year=day.year - 4 * (1 + years // 4)).isoformat()


async def sign_up(session: aiohttp.ClientSession, people: Iterable[dict[str, Any]]) -> int:
    """Sign up these users, and return their number. Raises SignUpFailed, and the exceptions of aiohttp."""
    queue = iter(people)

    async def work() -> int:
        done = 0
        for person in queue:
            await _post(session, person)
            done += 1
        return done

    try:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work()) for _ in range(PARALLEL_REQUESTS)]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the others failed for the same reason
    return sum(worker.result() for worker in workers)


@retry(
    retry=retry_if_exception_type((NotNow, aiohttp.ClientConnectionError, TimeoutError)),
    stop=stop_after_attempt(TRIES),
    wait=wait_random_exponential(multiplier=0.2, max=2.0),
    reraise=True,
)
async def _post(session: aiohttp.ClientSession, person: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": person["email"]}
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
    async with session.post("/api/v1/users", json=person, headers=headers, timeout=timeout) as response:
        if response.status != 201:
            # The Idempotency-Key makes a repetition harmless.
            kind = NotNow if response.status >= 500 else SignUpFailed
            raise kind(f"POST /api/v1/users answered {response.status}: {await response.text()}")
