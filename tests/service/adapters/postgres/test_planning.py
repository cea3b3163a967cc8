"""Planning and edits at the same time: no user is missed, planned twice, or keeps an old instant."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from service.adapters.postgres.planning import USERS_PER_RANGE
from service.adapters.postgres.queries import load
from service.domain.planning import DesiredMessage, OccasionDay
from service.domain.users import Profile, User
from tests.edits import edited
from tests.node.harness import eventually
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import Store, nine, profile
from tests.service.adapters.postgres.planned import RULES

USERS, PLANNING = load("users.sql"), load("planning.sql")

ZONES = {"UTC": 0, "Asia/Tokyo": 9, "Etc/GMT+11": -11}
"""Zones without daylight saving, and their hours east."""


async def in_three_days(store: Store) -> date:
    """A day that planning has not reached."""
    now: datetime = await store.database.value("select business_now()")
    return (now + timedelta(days=3)).date()


async def announce(store: Store, day: date) -> list[int]:
    """Announce past that day."""
    up_to = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=2)
    ranges = await store.planning.announce(
        "daily", up_to, incarnation=1, up_to=up_to, days=[OccasionDay("birthday", day.year, day.month * 100 + day.day)]
    )
    assert ranges is not None
    return ranges


async def plan(store: Store, ranges: list[int]) -> int:
    """Plan the ranges, and return the number of new messages."""
    return sum([await store.planning.plan(number, RULES, tzdata="test") or 0 for number in ranges])


async def somebody_waits(store: Store) -> bool:
    """Return True if a connection of this database waits for a lock."""
    query = (
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"
    )
    return bool(await store.database.value(query))


async def test_a_user_who_is_created_while_planning_is_announced_is_never_missed(store: Store) -> None:
    """The range finds users written before the announcement. Users written after it plan for themselves."""
    day = await in_three_days(store)
    announced: list[int] = []
    some_are_there, is_announced = asyncio.Event(), asyncio.Event()

    async def many(first: int) -> None:
        for number in range(25):
            if number == 24:
                await is_announced.wait()
            await store.users.create(profile(day), nine(day))
            if (first, number) == (0, 8):
                some_are_there.set()

    async def announce_in_between() -> None:
        await some_are_there.wait()
        announced.extend(await announce(store, day))
        is_announced.set()

    await asyncio.gather(*(many(n) for n in range(0, 300, 25)), announce_in_between())
    by_themselves = await store.database.value("select count(*) from messages")
    by_the_range = await plan(store, announced)

    assert by_themselves + by_the_range == 300
    assert await store.database.value("select count(distinct user_id) from messages") == 300
    # Both orders must occur, or the test shows nothing.
    assert by_themselves > 0
    assert by_the_range > 0


async def test_an_announcement_waits_for_writers_of_users(store: Store) -> None:
    """The writer has read the planned instant, so the range must not be cut before the user is visible."""
    day = await in_three_days(store)
    ada = profile(day)
    async with store.database.transaction() as connection:
        columns = (ada.first_name, ada.last_name, ada.email, ada.email, ada.timezone, None, None, 1)
        wanted = nine(day)[0]
        days = ([1], ["birthday"], [ada.dates["birthday"]])
        greetings = ([1], ["birthday"], [wanted.local_year], [wanted.send_at])
        await connection.fetch(
            USERS.create_users,
            *([column] for column in columns),
            *days,
            *greetings,
            "test",
            [None],
            None,
            [None],
            [None],
            [True],
            [],
            [],
            datetime.min.replace(tzinfo=UTC),
        )
        announcing = asyncio.ensure_future(announce(store, day))
        await eventually(lambda: somebody_waits(store))

    assert await plan(store, await announcing) == 1


async def test_the_planner_waits_for_a_change_of_a_user(store: Store) -> None:
    """It then reads the user again, and uses no old values."""
    day = await in_three_days(store)
    user = await store.users.create(profile(day), nine(day))
    ranges = await announce(store, day)
    async with store.database.transaction() as connection:
        await connection.execute("update users set deleted_at = business_now() where id = $1", user.id)
        planning = asyncio.ensure_future(plan(store, ranges))
        await eventually(lambda: somebody_waits(store))

    assert await planning == 0


async def test_a_change_of_a_user_waits_for_the_planner(store: Store) -> None:
    """A message that is being created must exist before it can be moved."""
    day = await in_three_days(store)
    user = await store.users.create(profile(day), nine(day))
    await announce(store, day)
    instants = json.dumps({"UTC": str(nine(day)[0].send_at)})
    arguments = ("birthday", day.year, day.month * 100 + day.day, None, None, instants, "test")
    async with store.database.transaction() as connection:
        await connection.execute(PLANNING.plan_range, *arguments)
        deleting = asyncio.ensure_future(store.users.delete(user.id, version=None, by=OPERATOR))
        await eventually(lambda: somebody_waits(store))

    assert await deleting
    assert set((await store.statuses()).values()) == {"cancelled"}


async def test_a_user_who_moves_while_the_planner_runs_keeps_no_instant_of_before(store: Store) -> None:
    """Both lock the same rows, so the second sees the changes of the first."""
    day = await in_three_days(store)
    users = [await store.users.create(profile(day), nine(day)) for _ in range(60)]
    ranges = await announce(store, day)

    async def move(user: User, zone: str) -> None:
        def edit(before: User) -> Profile:
            return Profile("Ada", "Smith", before.profile.email, zone, before.profile.dates)

        def rules(_before: Profile, after: Profile, _now: datetime) -> list[DesiredMessage]:
            return nine(day, ZONES[after.timezone])

        await edited(store.users, user.id, edit, rules, version=None)

    async def move_twice(user: User) -> None:
        await move(user, "Asia/Tokyo")
        await move(user, "Etc/GMT+11")

    await asyncio.gather(*(move_twice(user) for user in users), plan(store, ranges), plan(store, ranges))

    rows = await store.fetch("select user_id, timezone, send_at from messages")
    assert {row["user_id"] for row in rows} == {user.id for user in users}
    assert {(row["timezone"], row["send_at"]) for row in rows} == {("Etc/GMT+11", nine(day, -11)[0].send_at)}


async def test_a_user_who_is_deleted_while_the_planner_runs_is_not_greeted(store: Store) -> None:
    """If deleted before, the planner does not find the user. If deleted after, the message is cancelled."""
    day = await in_three_days(store)
    users = [await store.users.create(profile(day), nine(day)) for _ in range(60)]
    ranges = await announce(store, day)

    await asyncio.gather(
        plan(store, ranges), *(store.users.delete(user.id, version=None, by=OPERATOR) for user in users)
    )

    assert set((await store.statuses()).values()) <= {"cancelled"}


async def test_each_range_is_planned_once_by_however_many(store: Store) -> None:
    """An entry may be handed out again. The row shows if there is work left."""
    day = await in_three_days(store)
    for _ in range(20):
        await store.users.create(profile(day), nine(day))
    (number,) = await announce(store, day)

    made = await asyncio.gather(*(store.planning.plan(number, RULES, tzdata="test") for _ in range(8)))

    assert sorted(made, key=str) == [20, *[None] * 7]
    assert await store.planning.open_ranges(older_than=0, limit=10) == []


async def test_an_announcement_is_made_once_by_however_many_nodes(store: Store) -> None:
    """Every node runs the daily job, and one transaction claims the instant."""
    day = await in_three_days(store)
    up_to = datetime(day.year, day.month, day.day, tzinfo=UTC)
    days = [OccasionDay("birthday", day.year, day.month * 100 + day.day)]

    ranges = await asyncio.gather(
        *(store.planning.announce("daily", up_to, incarnation=n, up_to=up_to, days=days) for n in range(8))
    )

    assert sorted((len(one) if one is not None else -1) for one in ranges) == [-1] * 7 + [1]
    planned = await store.planning.planned()
    assert planned.announced == up_to
    assert planned.complete < up_to


async def test_a_day_of_many_users_is_cut_into_parts_that_cover_all_users(store: Store) -> None:
    """A million birthdays on one day are planned by many transactions on all nodes."""
    day = await in_three_days(store)
    count = 2 * USERS_PER_RANGE + 10
    await store.fetch(
        """
        with made as (
            insert into users (first_name, last_name, email, email_key, timezone)
            select 'Ada', n::text, n::text, n::text, 'UTC' from generate_series(1, $1) n returning id
        )
        insert into occasion_dates (user_id, occasion, date) select id, 'birthday', $2 from made
        """,
        count,
        day.replace(year=1992),
    )

    ranges = await announce(store, day)
    made = [await store.planning.plan(number, RULES, tzdata="test") for number in ranges]

    assert made == [USERS_PER_RANGE, USERS_PER_RANGE, 10]
    everybody: set[UUID] = {row["user_id"] for row in await store.fetch("select user_id from messages")}
    assert len(everybody) == count
