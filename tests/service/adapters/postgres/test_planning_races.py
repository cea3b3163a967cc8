"""Users are written and planned at the same time: in the end each has the message that the calendar says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

from service.domain.users import Profile, User
from service.domain.windows import occurrences_in
from service.ports import PlanRange, Wanted
from tests.adapters.postgres.conftest import Store, profile
from tests.adapters.postgres.planned import announce, begin_at, expected, rules_for, utc
from tests.conftest import Clock

BEGIN = utc("2030-05-01 18:00")
ZONES = ["Pacific/Kiritimati", "Asia/Tokyo", "Asia/Kolkata", "UTC", "America/Lima", "Pacific/Honolulu"]
BIRTHDAYS = [date(1990, 5, day) for day in (2, 3, 4)]
HOURS = 72
"""How much is announced in the end: all but the last evening in Honolulu."""


def instants(planned: PlanRange) -> Sequence[tuple[str, datetime]]:
    """As service.planning, in the zones of this test only: a planner that takes no time meets more writers."""
    found = occurrences_in(planned.day.month_day, planned.day.local_year, ZONES, planned.starts_at, planned.ends_at)
    return [(zone, send_at) for zone, send_at, _rule in found]


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
"""Everything was read and written, and nobody else sees it yet: the moment in which two may miss one another."""


async def begin_slowly(store: Store, clock: Clock, table: str) -> None:
    """Begin, with commits of that table's rows that take their time, as they do with a standby to wait for."""
    await begin_at(store, clock, BEGIN)
    async with store.database.connection() as connection:
        await connection.execute(SLOW_COMMITS.format(table=table))


async def announce_step_by_step(store: Store, over: asyncio.Event, *, hours: int) -> None:
    """Announce so much more, and plan it, again and again."""
    try:
        for ahead in range(hours, HOURS + 1, hours):
            ranges = await announce(store, BEGIN + timedelta(hours=ahead))
            # Two planners get every range, as after a recovery.
            planners = (store.planning.plan(number, instants, tzdata="test") for number in [*ranges, *ranges])
            await asyncio.gather(*planners)
    finally:
        over.set()


async def check_every_message(store: Store) -> tuple[int, int]:
    """Each user has what the calendar says and nothing else; how many have a message, and how many none yet."""
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


async def test_whoever_is_created_while_planning_goes_on_is_planned_by_one_or_the_other(
    store: Store, clock: Clock
) -> None:
    """Hundreds are created over eight connections, one by one and many at once, while ever more is announced."""
    await begin_slowly(store, clock, "users")
    over = asyncio.Event()
    chance = random.Random(7)

    def somebody() -> tuple[Profile, list[Wanted]]:
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


async def test_whoever_moves_while_planning_goes_on_is_greeted_by_their_new_day_and_zone(
    store: Store, clock: Clock
) -> None:
    """A planner must not make a message from what was true before, nor an editor miss what a planner is making."""
    await begin_slowly(store, clock, "messages")
    chance = random.Random(11)
    people = [profile(chance.choice(BIRTHDAYS), chance.choice(ZONES)) for _ in range(300)]
    ids = [one for one in await store.users.create_many([(who, rules_for(who, BEGIN)) for who in people]) if one]

    def edit(user: User) -> Profile:
        return replace(user.profile, timezone=chance.choice(ZONES), dates={"birthday": chance.choice(BIRTHDAYS)})

    def rules(_before: Profile, after: Profile, now: datetime) -> list[Wanted]:
        return rules_for(after, now)

    async def move_once_each(mine: list[UUID]) -> None:
        # Once: the next move would put right what this one has missed.
        for user_id in mine:
            assert await store.users.change(user_id, edit, rules, version=None) is not None

    await asyncio.gather(
        announce_step_by_step(store, asyncio.Event(), hours=24), *(move_once_each(ids[n::8]) for n in range(8))
    )

    with_message, without = await check_every_message(store)
    assert with_message + without == len(ids) == 300
    assert with_message > 200
