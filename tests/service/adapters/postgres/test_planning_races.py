"""Users are written and planned at the same time: in the end each has the message that the calendar gives."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

from service.domain.planning import DesiredMessage
from service.domain.users import Profile, User
from tests.conftest import Clock
from tests.edits import edited
from tests.service.adapters.postgres.conftest import Store, profile
from tests.service.adapters.postgres.planned import RULES, announce, begin_at, expected, rules_for, utc

BEGIN = utc("2030-05-01 18:00")
ZONES = ["Pacific/Kiritimati", "Asia/Tokyo", "Asia/Kolkata", "UTC", "America/Lima", "Pacific/Honolulu"]
BIRTHDAYS = [date(1990, 5, day) for day in (2, 3, 4)]
HOURS = 72
"""The last announced instant: all but the last evening in Honolulu."""

SLOW_COMMITS = """
create function dawdle() returns trigger language plpgsql as $$
begin
    perform pg_sleep(random() * 0.01);
    return null;
end
$$;
create constraint trigger slow after insert or update on {table}
    deferrable initially deferred for each row execute function dawdle();
"""
"""Everything was read and written but is not visible yet: in this moment two writers may miss each other."""


async def begin_slowly(store: Store, clock: Clock, table: str) -> None:
    """Make commits to that table slow, as with a synchronous standby."""
    await begin_at(store, clock, BEGIN)
    async with store.database.connection() as connection:
        await connection.execute(SLOW_COMMITS.format(table=table))


async def announce_step_by_step(store: Store, over: asyncio.Event, *, hours: int) -> None:
    """Announce and plan one step after another."""
    try:
        for ahead in range(hours, HOURS + 1, hours):
            ranges = await announce(store, BEGIN + timedelta(hours=ahead))
            # Two planners get every range, as after a recovery.
            planners = (store.planning.plan(number, RULES, tzdata="test") for number in [*ranges, *ranges])
            await asyncio.gather(*planners)
    finally:
        over.set()


async def check_every_message(store: Store) -> tuple[int, int]:
    """Check each user's message against the calendar. Return how many users have one, and how many have none yet."""
    announced = (await store.planning.planned()).announced
    rows = await store.fetch(
        """
        select u.id, u.timezone, u.created_at, d.date, m.send_at, m.due_at, m.status, m.timezone as planned_zone
        from users u
        join occasion_dates d on d.user_id = u.id
        left join messages m on m.user_id = u.id and m.local_year = 2030
        """
    )
    wrong = []
    with_message = 0
    for row in rows:
        instant = expected(row["date"], row["timezone"], 2030)
        assert instant is not None
        assert instant > row["created_at"]
        with_message += row["status"] is not None
        if row["status"] is None:
            if instant < announced:
                wrong.append(f"missing: {dict(row)}")
        elif (row["status"], row["send_at"], row["due_at"], row["planned_zone"]) != (
            "scheduled",
            instant,
            instant,
            row["timezone"],
        ):
            wrong.append(f"not {instant}: {dict(row)}")
    assert wrong == []
    assert len({row["id"] for row in rows}) == len(rows)
    return with_message, len(rows) - with_message


async def test_a_user_created_during_planning_is_planned_once(store: Store, clock: Clock) -> None:
    """Eight connections create hundreds of users, one by one and in batches, while announcements go on."""
    await begin_slowly(store, clock, "users")
    over = asyncio.Event()
    chance = random.Random(7)

    def somebody() -> tuple[Profile, list[DesiredMessage]]:
        who = profile(chance.choice(BIRTHDAYS), chance.choice(ZONES))
        return who, rules_for(who, BEGIN)

    async def one_by_one() -> None:
        while not over.is_set():
            await store.users.create(*somebody())

    async def many_at_once() -> None:
        while not over.is_set():
            await store.users.create_many([somebody() for _ in range(20)])

    await asyncio.gather(
        announce_step_by_step(store, over, hours=3),
        *(one_by_one() for _ in range(6)),
        *(many_at_once() for _ in range(2)),
    )

    with_message, without = await check_every_message(store)
    assert with_message > 200
    assert without > 0


async def test_an_import_that_knows_a_later_time_than_the_database_loses_no_greeting(
    store: Store, clock: Clock
) -> None:
    """The database's clock was set back, and the node has not read it again yet: what it takes for past is to come."""
    await begin_at(store, clock, BEGIN + timedelta(days=20))
    await clock.set(BEGIN)
    outdated = BEGIN + timedelta(days=20)
    people = [profile(date(1990, 5, 5), "UTC"), profile(date(1990, 5, 20), "UTC"), profile(date(1990, 8, 1), "UTC")]

    await store.users.create_many([(who, rules_for(who, outdated)) for who in people], now=outdated)

    rows = await store.fetch("select send_at from messages order by send_at")
    assert [row["send_at"] for row in rows] == [utc("2030-05-05 09:00"), utc("2030-05-20 09:00")]


async def test_a_user_who_moves_during_planning_is_greeted_by_the_new_day_and_zone(store: Store, clock: Clock) -> None:
    """A planner must not use old values, and an editor must not miss a message that is being planned."""
    await begin_slowly(store, clock, "messages")
    chance = random.Random(11)
    people = [profile(chance.choice(BIRTHDAYS), chance.choice(ZONES)) for _ in range(300)]
    made = await store.users.create_many([(who, rules_for(who, BEGIN)) for who in people])
    ids = [one for one in made if isinstance(one, UUID)]

    def edit(user: User) -> Profile:
        return replace(user.profile, timezone=chance.choice(ZONES), dates={"birthday": chance.choice(BIRTHDAYS)})

    def rules(_before: Profile, after: Profile, now: datetime) -> list[DesiredMessage]:
        return rules_for(after, now)

    async def move_once_each(mine: list[UUID]) -> None:
        # Once only, because the next move would repair what this one missed.
        for user_id in mine:
            assert await edited(store.users, user_id, edit, rules, version=None) is not None

    await asyncio.gather(
        announce_step_by_step(store, asyncio.Event(), hours=24), *(move_once_each(ids[n::8]) for n in range(8))
    )

    with_message, without = await check_every_message(store)
    assert with_message + without == len(ids) == 300
    assert with_message > 200
