"""Planning covers every instant and every user once, after any time without planning."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from service.adapters.postgres import planning
from service.domain.calendar import DayRules
from service.domain.planning import PlanningRules
from service.domain.users import Profile, User
from tests.conftest import Clock
from tests.edits import edited
from tests.node.harness import eventually
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import Store, profile
from tests.service.adapters.postgres.planned import (
    RULES,
    announce,
    begin_at,
    create,
    messages,
    plan,
    plan_all,
    rules_for,
    utc,
)
from tests.service.adapters.postgres.test_planning import somebody_waits


async def test_ten_days_without_planning_are_caught_up(store: Store, clock: Clock) -> None:
    """Planning continues where it stopped: each greeting once, at its own instant."""
    await begin_at(store, clock, utc("2030-05-01 00:00"))
    for day in range(1, 15):
        await create(store, f"1990-05-{day:02}")
    await clock.advance(timedelta(days=10))

    await announce(store, utc("2030-05-13 00:00"))

    assert await plan_all(store) == 12
    assert [row["send_at"] for row in await messages(store)] == [utc(f"2030-05-{day:02} 09:00") for day in range(1, 13)]


async def test_windows_laid_in_a_row_plan_each_greeting_once(store: Store, clock: Clock) -> None:
    """The end of one window is the start of the next, and belongs to one of them."""
    await begin_at(store, clock, utc("2030-05-01 00:00"))
    for zone in ("Pacific/Kiritimati", "Asia/Tokyo", "UTC", "America/Lima", "Pacific/Niue"):
        await create(store, "1990-05-03", zone)

    made = []
    for hour in range(4, 97, 4):  # Tokyo's and Niue's instants are the end of one and the begin of the next
        await announce(store, utc("2030-05-01 00:00") + timedelta(hours=hour))
        made.append(await plan_all(store))

    assert sum(made) == 5
    rows = await messages(store)
    assert [row["timezone"] for row in rows] == [
        "Pacific/Kiritimati",
        "Asia/Tokyo",
        "UTC",
        "America/Lima",
        "Pacific/Niue",
    ]
    assert [(row["send_at"] - utc("2030-05-03 09:00")) / timedelta(hours=1) for row in rows] == [-14, -9, 0, 5, 11]


async def test_the_years_end_is_no_end(store: Store, clock: Clock) -> None:
    """One window can hold days of two years, and the partitions of the new year are created."""
    await begin_at(store, clock, utc("2030-12-30 00:00"))
    for birthday in ("1990-12-31", "1990-01-01", "1990-01-02"):
        await create(store, birthday, "Pacific/Kiritimati")

    await announce(store, utc("2031-01-03 00:00"))

    assert await plan_all(store) == 3
    assert [(row["local_year"], row["send_at"]) for row in await messages(store)] == [
        (2030, utc("2030-12-30 19:00")),
        (2031, utc("2030-12-31 19:00")),
        (2031, utc("2031-01-01 19:00")),
    ]


async def test_the_partitions_of_a_year_are_there_before_it_is_announced(store: Store, clock: Clock) -> None:
    """A statement that creates a user waits for the announcement, and then needs the partitions."""
    await begin_at(store, clock, utc("2030-12-30 00:00"))
    async with store.database.transaction() as connection:
        await connection.execute("select planning_fence()")
        announcing = asyncio.ensure_future(announce(store, utc("2031-01-03 00:00")))
        await eventually(lambda: somebody_waits(store))

        there = await store.database.value("select to_regclass('messages_2031') is not null")

    assert there
    assert await announcing


@pytest.mark.parametrize(("year", "day"), [(2031, "02-28"), (2032, "02-29")])
async def test_a_leap_day_is_planned_in_every_year(store: Store, clock: Clock, year: int, day: str) -> None:
    """29 February is found once, by the day that replaces it."""
    await begin_at(store, clock, utc(f"{year}-02-26 00:00"))
    await create(store, "1992-02-29")

    await announce(store, utc(f"{year}-03-03 00:00"))

    assert await plan_all(store) == 1
    assert [row["send_at"] for row in await messages(store)] == [utc(f"{year}-{day} 09:00")]


async def test_a_user_created_after_the_instant_waits_for_next_year(store: Store, clock: Clock) -> None:
    """Catching up must not greet users created after the instant."""
    await begin_at(store, clock, utc("2030-05-01 00:00"))
    await create(store, "1990-05-02")
    await clock.set(utc("2030-05-02 09:00:01"))
    await create(store, "1990-05-02")

    await announce(store, utc("2030-05-04 00:00"))

    assert await plan_all(store) == 1


async def test_a_move_to_a_zone_of_the_same_clock_shows_in_the_message(store: Store, clock: Clock) -> None:
    """The instant stays the same, but the message shows the new zone."""
    await begin_at(store, clock, utc("2030-05-01 00:00"))
    await create(store, "1990-05-02", "Europe/Paris")
    await announce(store, utc("2030-05-04 00:00"))
    await plan_all(store)
    await store.fetch("update messages set status = 'retrying', due_at = due_at + interval '5 minutes'")
    user_id = await store.database.value("select id from users")

    def edit(user: User) -> Profile:
        return replace(user.profile, timezone="Europe/Berlin")

    await edited(store.users, user_id, edit, lambda _before, after, now: rules_for(after, now), version=None)

    (row,) = await messages(store)
    assert (row["timezone"], row["status"]) == ("Europe/Berlin", "retrying")
    assert row["due_at"] - row["send_at"] == timedelta(minutes=5)


async def test_a_deleted_user_is_left_out(store: Store, clock: Clock) -> None:
    """The days of a deleted user are kept, and have no effect."""
    await begin_at(store, clock, utc("2030-05-01 00:00"))
    for _ in range(2):
        await create(store, "1990-05-02")
    user_id = await store.database.value("select id from users limit 1")
    assert await store.users.delete(user_id, version=None, by=OPERATOR)

    await announce(store, utc("2030-05-04 00:00"))

    assert await plan_all(store) == 1
    assert [row["user_id"] != user_id for row in await messages(store)] == [True]


async def test_planning_is_complete_up_to_the_earliest_open_range(store: Store, clock: Clock) -> None:
    """Health shows the planned instant beside the announced one."""
    begin, middle, end = utc("2030-05-01 00:00"), utc("2030-05-02 00:00"), utc("2030-05-03 00:00")
    await begin_at(store, clock, begin)
    first = await announce(store, middle)
    second = await announce(store, end)

    async def complete() -> datetime:
        planned = await store.planning.planned()
        assert planned.announced == end
        return planned.complete

    assert await complete() == begin
    for range_id in [*second, *first[1:]]:
        await plan(store, range_id)
    assert await complete() == begin
    await plan(store, first[0])
    assert await complete() == end


async def test_what_was_announced_is_not_announced_again(store: Store, clock: Clock) -> None:
    """A later run that reaches no further is recorded, and makes no range."""
    await begin_at(store, clock, utc("2030-05-01 00:00"))
    await announce(store, utc("2030-05-03 00:00"))

    assert await announce(store, utc("2030-05-02 00:00")) == []

    assert (await store.planning.planned()).announced == utc("2030-05-03 00:00")


async def test_a_range_whose_transaction_fails_is_there_again(store: Store, clock: Clock) -> None:
    """The range is removed in the transaction that plans it."""
    await begin_at(store, clock, utc("2030-05-01 00:00"))
    await create(store, "1990-05-02")
    ranges = await announce(store, utc("2030-05-04 00:00"))

    class Failing(PlanningRules):
        def of(self, code: str) -> DayRules:
            raise ZeroDivisionError

    failing = Failing(RULES.send_at, RULES.leap_day, RULES.occasions)
    for range_id in ranges:
        with pytest.raises(ZeroDivisionError):
            await store.planning.plan(range_id, failing, tzdata="test")

    assert await store.planning.open_ranges(older_than=0, limit=100) == ranges
    assert await plan_all(store) == 1


async def test_young_ranges_are_left_to_the_planners_that_have_them(store: Store, clock: Clock) -> None:
    """Their entries are still in the stream."""
    await begin_at(store, clock, utc("2030-05-01 00:00"))
    ranges = await announce(store, utc("2030-05-04 00:00"))

    assert await store.planning.open_ranges(older_than=30, limit=100) == []
    assert await store.planning.open_ranges(older_than=0, limit=2) == ranges[:2]


async def test_the_parts_of_a_day_neither_overlap_nor_leave_anybody_out(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user at a cut belongs to one part, and so does every user before, between and after the cuts."""
    monkeypatch.setattr(planning, "USERS_PER_RANGE", 3)
    await begin_at(store, clock, utc("2030-05-01 00:00"))
    people = [profile(date(1990, 5, 2)) for _ in range(10)]
    await store.users.create_many([(who, rules_for(who, utc("2030-05-01 00:00"))) for who in people])

    ranges = await announce(store, utc("2030-05-03 00:00"))
    made = [await plan(store, range_id) for range_id in ranges]

    assert sorted(count for count in made if count) == [1, 3, 3, 3]
    assert {row["email"] for row in await messages(store)} == {who.email for who in people}
