"""Every user is greeted once at 09:00 local time, with any behaviour of the email service."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta

from service.domain.zones import zone, zone_names
from tests.node.harness import NOON, World, eventually
from tests.stopwatch import Stopwatch

USERS = 1_200
"""At least two in each time zone."""

SPEED = 9_000.0
"""A day in ten seconds."""


async def test_each_user_in_every_time_zone_is_greeted_once_and_never_early(world: World) -> None:
    """The main promise, on real servers, over a whole day in all time zones."""
    await world.begin()
    instants = await everybody(world)
    node = await world.node(EMAIL_TIMEOUT="20s", LATE_LIMIT="30d")  # days of the fast clock
    await world.planned(USERS)

    await world.clock.rate(SPEED)
    await world.all_are("sent", USERS)

    accepted = world.acceptances()
    assert len(accepted) == len({one.key for one in accepted}) == USERS
    assert {one.email: one.message for one in accepted} == {
        email: f"Hey, Ada {email.partition('@')[0]} it's your birthday" for email in instants
    }
    planned = {
        row["email"]: row["send_at"]
        for row in await world.fetch("select u.email, m.send_at from messages m join users u on u.id = m.user_id")
    }
    assert planned == instants
    await world.assert_nobody_was_greeted_early()
    assert node.crashes() == []


async def test_a_service_that_fails_hangs_and_cuts_loses_no_greeting(world: World) -> None:
    """Errors are retried, hanging calls are cut, and an accepted call is never repeated."""
    world.stub.change(
        world.stub.options.changed(
            {"errorRate": 0.1, "hangRate": 0.1, "acceptThenFailRate": 0.02, "retryAfter": 0, "seed": 7}
        )
    )
    await world.begin()
    await everybody(world)
    node = await world.node(EMAIL_TIMEOUT="1s", IDEMPOTENCY_LASTS="30d", LATE_LIMIT="30d")  # days of the fast clock
    await world.planned(USERS)

    await world.clock.rate(SPEED)
    await world.all_are("sent", USERS, within=80)

    assert {one.key for one in world.acceptances()} == {
        str(row["id"]) for row in await world.fetch("select id from messages")
    }
    await world.assert_nobody_was_greeted_twice()
    await world.assert_nobody_was_greeted_early()
    # No call follows one that is known as accepted.
    assert (
        await world.value(
            "select count(*) from attempts a join attempts b using (message_id) where a.outcome = 'accepted'"
            " and b.number > a.number"
        )
        == 0
    )
    outcomes = Counter(
        {
            row["outcome"]: row["count"]
            for row in await world.fetch("select outcome, count(*) from attempts group by outcome")
        }
    )
    assert outcomes["transient_failure"] > 50
    assert outcomes["unknown"] > 50
    assert node.crashes() == []


async def test_an_idle_node_wakes_at_the_due_instant_and_not_at_the_next_minute(world: World) -> None:
    """On the real clock. The benchmark measures the delay of the first greeting."""
    watch = Stopwatch()
    now = await world.clock.now()
    due = (now + timedelta(seconds=7)).replace(microsecond=0)
    await world.users(200, due.date())
    node = await world.node(rehearsal=False, SEND_AT=due.time().isoformat())

    await world.planned(200)
    await world.all_are("sent", 200)

    first = min(one.at for one in world.acceptances()) / 1000 - due.timestamp()
    assert first >= 0
    assert first - watch.starved() < 10
    await world.assert_nobody_was_greeted_early()

    async def all_are_counted() -> bool:
        return await node.metric('message_lateness_seconds_count{occasion="birthday"}') == 200

    await eventually(all_are_counted)  # the node counts what it has recorded


async def everybody(world: World) -> dict[str, datetime]:
    """Create users in all zones with birthdays within a day of the start; return addresses and their instants.

    The instants are computed here without heyday's calendar, from the same release of the time zones.
    """
    zones = sorted(zone_names())
    begin = NOON + timedelta(minutes=1)
    instants: dict[str, datetime] = {}
    rows = []
    for n in range(USERS):
        name = zones[n % len(zones)]
        for ahead in (-1, 0, 1, 2):
            day = begin.date() + timedelta(days=ahead)
            instant = datetime.combine(day, time(9), zone(name)).astimezone(UTC)
            if begin <= instant < begin + timedelta(days=1):
                break
        instants[f"n{n}@example.com"] = instant
        rows.append((f"n{n}", f"n{n}@example.com", name, date(1992, day.month, day.day)))
    await world.fetch(
        """
        with given as (
            select uuid_v7() as id, *
            from unnest($1::text[], $2::text[], $3::text[], $4::date[]) as t (name, email, timezone, birthday)
        ),
        made as (
            insert into users (id, first_name, last_name, email, email_key, timezone, created_at)
            select id, 'Ada', name, email, email, timezone, business_now() - interval '30 days' from given
        )
        insert into occasion_dates (user_id, occasion, date) select id, 'birthday', birthday from given
        """,
        *map(list, zip(*rows, strict=True)),
    )
    return instants


async def test_a_node_claims_few_more_than_it_can_have_on_the_wire(small_world: World) -> None:
    """Claimed messages have unknown outcomes if the node dies, and a long claim counts as lost."""
    world = small_world
    world.stub.change(world.stub.options.changed({"latency": 0.1}))
    await world.begin()
    await world.node(EMAIL_CONCURRENCY="4", DELIVERY_ACTORS="1", EMAIL_TIMEOUT="20s")
    await world.clock.set(await world.wave(100))

    claimed = []
    while not await world.has("sent", 80):
        claimed.append((await world.counts())["sending"])
    await world.all_are("sent", 100)

    # Two claims of four each, and up to twelve outcomes that are not recorded yet.
    assert 4 <= max(claimed) <= 20
