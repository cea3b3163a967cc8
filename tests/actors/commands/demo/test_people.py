"""The API accepts the users of the demo, and their days fall within the demo."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from actors.commands.demo.cities import CITIES
from actors.commands.demo.days import Day, nine_after
from actors.commands.demo.people import Crowd, SignUpFailed, sign_up
from service.api.representations.users import future_dates, loader
from service.domain.calendar import occurrence
from service.domain.zones import zone

START = datetime(2026, 11, 23, 18, 16, tzinfo=UTC)
OCCASIONS = ("anniversary", "birthday")


def test_every_city_has_a_zone_of_its_own_that_exists() -> None:
    """The view counts by zone: two cities with one zone would share their greetings."""
    zones = [zone(city.timezone).key for city in CITIES]

    assert len(set(zones)) == len(CITIES)


@pytest.mark.parametrize("hour", range(0, 24, 5))
def test_it_is_nine_once_a_day_in_every_city(hour: int) -> None:
    """A day of the demo may begin at any hour."""
    day = Day(1, START + timedelta(hours=hour))

    assert {city for _, city in day.nines} == set(CITIES)
    assert all(day.start <= at < day.end for at, _ in day.nines)
    assert all(at.astimezone(zone(city.timezone)).hour == 9 for at, city in day.nines)


def test_nine_is_found_on_the_very_instant_and_not_before_it() -> None:
    """The start of a day is inclusive, its end is exclusive."""
    day, at = nine_after(datetime(2026, 11, 24, 9, tzinfo=UTC), "Europe/London")
    later_day, later = nine_after(at + timedelta(microseconds=1), "Europe/London")

    assert (day, at) == (date(2026, 11, 24), datetime(2026, 11, 24, 9, tzinfo=UTC))
    assert (later_day, later - at) == (date(2026, 11, 25), timedelta(days=1))


def test_where_it_is_nine_now_and_next_is_known() -> None:
    """The title line shows it."""
    day = Day(1, START)

    kathmandu = next(at for at, city in day.nines if city.name == "Kathmandu")
    next_at, next_cities = day.have_next(kathmandu)

    assert [city.name for city in day.just_had(kathmandu)] == ["Kathmandu"]
    assert (next_at, [city.name for city in next_cities]) == (kathmandu + timedelta(minutes=15), ["Mumbai"])
    assert day.have_next(day.end) == (None, [])
    assert day.just_had(day.start - timedelta(hours=1)) == []


def test_every_user_has_a_day_at_the_next_nine() -> None:
    """A user whose greeting is not due in the demo is useless."""
    for person in Crowd(1).invite(500, since=START):
        dates = [date.fromisoformat(person[name]) for name in ("birthdayDate", "anniversaryDate")]
        due = [occurrence(day, person["timezone"], year).send_at for day in dates for year in (2026, 2027)]

        assert any(at is not None and START <= at < START + timedelta(days=1) for at in due), person


@pytest.mark.parametrize("since", [START, datetime(2028, 2, 28, 20, tzinfo=UTC), datetime(2027, 2, 28, tzinfo=UTC)])
def test_the_api_accepts_every_user(since: datetime) -> None:
    """Names in many scripts, and dates such as 29 February."""
    for person in Crowd(1).invite(2000, since=since):
        loaded = loader(OCCASIONS).load(person)

        assert not future_dates(loaded, OCCASIONS, loaded["timezone"], since)


def test_every_city_has_one_user_before_any_has_two() -> None:
    """A few users are enough to show 09:00 in every city."""
    cities = Counter(person["timezone"] for person in Crowd(1).invite(len(CITIES), since=START))

    assert set(cities.values()) == {1}
    assert len(cities) == len(CITIES)


def test_no_two_people_have_the_same_address() -> None:
    """The API refuses a second user with an address. Numbers continue after those of an earlier demo."""
    crowd = Crowd(1)
    people = [*crowd.invite(300, since=START), *crowd.invite(300, since=START), *Crowd(601).invite(300, since=START)]

    assert len({person["email"] for person in people}) == 900


async def test_a_node_that_is_busy_for_a_moment_takes_them_a_little_later() -> None:
    """After a lost connection and a 503, the same Idempotency-Key is sent again."""
    keys: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=503 if len(keys) == 2 else 201)

    async with api(answer) as session:
        signed_up = await sign_up(session, Crowd(1).invite(1, since=START))

    assert signed_up == 1
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_a_person_whom_the_api_refuses_is_not_tried_again() -> None:
    """An invalid user is a bug of the demo, and must show at once."""
    answers: list[int] = []

    async def answer(_request: web.Request) -> web.Response:
        answers.append(422)
        return web.Response(status=422, text="why")

    async with api(answer) as session:
        with pytest.raises(SignUpFailed, match="422: why"):
            await sign_up(session, Crowd(1).invite(1, since=START))

    assert answers == [422]


@asynccontextmanager
async def api(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a server that gives these answers."""
    app = web.Application()
    app.router.add_post("/api/v1/users", answer)
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as session:
        yield session
