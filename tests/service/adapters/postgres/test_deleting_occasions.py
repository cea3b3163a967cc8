"""Deleting an occasion takes its locks in the order of all others, and reads little of a large table of messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest

from service.adapters.postgres.occasions import PostgresOccasions
from service.adapters.postgres.queries import load
from service.adapters.postgres.zone_data import PostgresZoneData
from service.domain.occasions import Occasion
from service.domain.planning import OccasionDay, TzdataMove, days_to_announce, desired_messages
from service.domain.texts import Text
from service.ports import OccasionInUse, RulesChanged
from tests.conftest import Clock
from tests.node.harness import eventually
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import Store
from tests.service.adapters.postgres.planned import utc
from tests.service.adapters.postgres.test_rules import begin, create, plan_all

NOW, UP_TO = utc("2030-05-02 08:00"), utc("2030-05-04 08:00")

MANY = """
insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata, status, attempt, ended_at)
select uuid_v7(), (array['birthday', 'anniversary'])[1 + n % 2], 2030, 'UTC', $1, $1, 'test', 'sent', 1, $1
from generate_series(1, 100000) n
"""
"""Of users who have lost their dates. They have 1,800 blocks, and 700 in the index by user."""

SUMMARIZED_TOGETHER = 128
"""Blocks. Fewer may be at the end of a year's messages without a summary."""

LOCK_RULES = "select pg_advisory_xact_lock_shared(hashtext('heyday.rules'))"


async def announce(store: Store) -> None:
    """Announce the days of all occasions."""
    days = days_to_announce(await store.planning.rules(), NOW, UP_TO)
    await store.planning.announce("daily", UP_TO, incarnation=1, up_to=UP_TO, days=days)


async def follow(store: Store, release: str = "2030b") -> None:
    """Follow a release of the zone data, and plan a day of the occasion again."""
    zone_data = PostgresZoneData(store.database, release=release)
    read = await zone_data.followed()
    await zone_data.follow([], days=[OccasionDay("eve", 2030, 503)], starts_at=NOW, ends_at=UP_TO, read=read)


async def edit_while_announcing(store: Store) -> None:
    """Announce, and give a user a date of the occasion meanwhile."""
    rules = await store.planning.rules()
    (user,) = await store.fetch("select id from users")
    announcing = asyncio.ensure_future(announce(store))
    await waiting(store, 2)

    async def edit() -> None:
        async with store.users.editing(user["id"], version=None) as editing:
            after = replace(editing.user.profile, dates={"eve": date(1990, 5, 4)})
            await editing.store(after, desired_messages(rules, after.dates, "UTC", now=editing.now))

    with pytest.raises(RulesChanged):
        await edit()
    await announcing


async def waiting(store: Store, sessions: int) -> None:
    """Return when so many sessions wait for a lock."""
    query = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"

    async def enough() -> bool:
        return len(await store.fetch(query)) >= sessions

    await eventually(enough)


async def eve(store: Store, clock: Clock) -> tuple[PostgresOccasions, int]:
    """Make an occasion without dates, and a range of it to plan. Return the range."""
    await begin(store, clock, "2030-05-02 08:00")
    await create(store, "1990-05-03")
    occasions = PostgresOccasions(store.database)
    await occasions.put(Occasion("eve", Text("Hello", "Hey")), by=OPERATOR)
    await follow(store, "2030a")
    return occasions, await store.database.value("select id from plan_ranges where occasion = 'eve'")


@pytest.mark.parametrize(("meanwhile", "sessions"), [(announce, 2), (follow, 2), (edit_while_announcing, 3)])
async def test_a_deletion_does_not_deadlock(
    store: Store, clock: Clock, meanwhile: Callable[[Store], Awaitable[None]], sessions: int
) -> None:
    """It waits for a planner, with the row of planning locked. The others begin, and wait for that row."""
    occasions, plan_range = await eve(store, clock)

    async with store.database.transaction() as planner:
        await planner.execute("select from plan_ranges where id = $1 for update", plan_range)
        deleting = asyncio.ensure_future(occasions.delete("eve", by=OPERATOR))
        await waiting(store, 1)
        other = asyncio.ensure_future(meanwhile(store))
        await waiting(store, sessions)

    assert [*await asyncio.gather(deleting, other)] == [True, None]
    assert await store.fetch("select from plan_ranges where occasion = 'eve'") == []


async def test_a_message_of_a_date_that_came_and_went_meanwhile_keeps_the_occasion(store: Store, clock: Clock) -> None:
    """A message has no foreign key to its occasion, so the deletion looks for it when none can come any more."""
    occasions, plan_range = await eve(store, clock)
    (user,) = await store.fetch("select id from users")
    await announce(store)

    async with store.database.transaction() as planner:
        await planner.execute("select from plan_ranges where id = $1 for update", plan_range)
        deleting = asyncio.ensure_future(occasions.delete("eve", by=OPERATOR))
        await waiting(store, 1)
        rules = await store.planning.rules()
        for day in (date(1990, 5, 3), None):
            async with store.users.editing(user["id"], version=None) as editing:
                after = replace(editing.user.profile, dates={} if day is None else {"eve": day})
                desired = desired_messages(rules, {"eve": day}, "UTC", now=editing.now)
                await editing.store(after, desired)

    with pytest.raises(OccasionInUse):
        await deleting
    assert await store.database.value("select count(*) from messages where occasion = 'eve'") >= 1
    assert await store.fetch("select from occasions where code = 'eve'") != []


async def test_a_deletion_does_not_deadlock_with_planners_that_wait_for_a_change_of_rules(
    store: Store, clock: Clock
) -> None:
    """The change waits for planners at work, planners that begin wait for the change, and the deletion for them."""
    occasions, plan_range = await eve(store, clock)
    rules, state = await store.planning.rules(), await store.planning.rules_state()

    async with store.database.transaction() as planner:
        await planner.execute(LOCK_RULES)
        changing = asyncio.ensure_future(store.planning.change_rules(state.version, None, incarnation=1))
        await waiting(store, 1)
        planning = asyncio.ensure_future(store.planning.plan(plan_range, rules, tzdata="test"))
        await waiting(store, 2)
        deleting = asyncio.ensure_future(occasions.delete("eve", by=OPERATOR))
        await asyncio.wait([deleting, asyncio.ensure_future(waiting(store, 3))], return_when=asyncio.FIRST_COMPLETED)

    assert [*await asyncio.gather(changing, planning, deleting)] == [[], 0, True]


async def test_a_deletion_does_not_deadlock_with_a_planner_that_waits_for_an_edit(store: Store, clock: Clock) -> None:
    """The edit waits for an announcement, which would wait for the deletion, which would wait for the planner."""
    occasions, plan_range = await eve(store, clock)
    (user,) = await store.fetch("select id from users")
    rules, go_on = await store.planning.rules(), asyncio.Event()

    async def edit(day: date | None, until: asyncio.Event | None = None) -> None:
        async with store.users.editing(user["id"], version=None) as editing:
            if until is not None:
                await until.wait()
            after = replace(editing.user.profile, dates={} if day is None else {"eve": day})
            await editing.store(after, desired_messages(rules, {"eve": day}, "UTC", now=editing.now))

    await edit(date(1990, 5, 3))
    async with store.database.transaction() as first:
        await first.execute("select from users where id = $1 for update", user["id"])
        editing = asyncio.ensure_future(edit(None, go_on))
        await waiting(store, 1)
        planning = asyncio.ensure_future(store.planning.plan(plan_range, rules, tzdata="test"))
        await waiting(store, 2)
        await first.execute("delete from occasion_dates where user_id = $1", user["id"])
        await first.execute("delete from messages")
    deleting = asyncio.ensure_future(occasions.delete("eve", by=OPERATOR))
    await waiting(store, 2)
    announcing = asyncio.ensure_future(announce(store))
    await asyncio.wait([announcing, asyncio.ensure_future(waiting(store, 3))], return_when=asyncio.FIRST_COMPLETED)
    go_on.set()

    assert [*await asyncio.gather(editing, planning, deleting, announcing)] == [None, 0, True, None]


async def test_a_deletion_does_not_deadlock_with_an_edit_while_messages_follow_zone_data(
    store: Store, clock: Clock
) -> None:
    """The edit would wait for a moved message, the move for the deletion, and the deletion for the edit's new date."""
    occasions, _ = await eve(store, clock)
    await announce(store)
    await plan_all(store)
    (user,) = await store.fetch("select id from users")
    rules, zone_data = await store.planning.rules(), PostgresZoneData(store.database, release="2030b")
    read = await zone_data.followed()
    moves = [TzdataMove(one, one.send_at + timedelta(hours=1)) for one in await zone_data.unsent()]

    async def edit() -> None:
        async with store.users.editing(user["id"], version=None) as editing:
            after = replace(editing.user.profile, dates={"birthday": date(1990, 5, 4), "eve": date(1990, 5, 4)})
            await editing.store(after, desired_messages(rules, after.dates, "UTC", now=editing.now))

    async with store.database.transaction() as first:
        await first.execute("select from planning for update")
        deleting = asyncio.ensure_future(occasions.delete("eve", by=OPERATOR))
        await waiting(store, 1)
        following = asyncio.ensure_future(zone_data.follow(moves, days=[], starts_at=NOW, ends_at=UP_TO, read=read))
        await waiting(store, 2)
        editing = asyncio.ensure_future(edit())
        await asyncio.wait([editing, asyncio.ensure_future(waiting(store, 3))], return_when=asyncio.FIRST_COMPLETED)

    with pytest.raises(OccasionInUse):
        await deleting
    assert [*await asyncio.gather(following, editing)] == [[], None]


@pytest.mark.parametrize("maintenance", ["vacuum", "vacuum analyze"])
async def test_a_deletion_reads_few_of_many_messages(store: Store, maintenance: str) -> None:
    """It reads the summaries, with any statistics of the table."""
    occasions, queries = PostgresOccasions(store.database), load("occasions.sql")
    await occasions.put(Occasion("eve", Text("Hello", "Hey")), by=OPERATOR)
    await store.fetch("select ensure_year(2030)")
    await store.fetch(MANY, NOW)
    await store.fetch(f"{maintenance} messages_2030")

    for code, expected in [("eve", SUMMARIZED_TOGETHER), ("birthday", 10)]:
        async with store.database.transaction() as connection:
            await connection.execute(queries.use_summaries)
            explain = f"explain (analyze, buffers, format json) {queries.has_messages}"
            (plan,) = json.loads(await connection.fetchval(explain, code))
            assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < expected + 50
    with pytest.raises(OccasionInUse):
        await occasions.delete("birthday", by=OPERATOR)
    assert await occasions.delete("eve", by=OPERATOR)
