"""Business time is the database's clock: with any jump or wrong clock, nothing is early, lost or repeated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest

from actors.failpoints import Failpoint
from tests.node.harness import NOON, World, eventually
from tests.stopwatch import Stopwatch

INSTANTS = 5
EACH = 200


async def users_of_five_hours(world: World) -> None:
    """Create users who are greeted one to five hours after the start."""
    for hour in range(1, INSTANTS + 1):
        due = NOON + timedelta(hours=hour)
        west = due.hour - 9  # the signs in these names are inverted
        await world.users(EACH, due.date(), timezone=f"Etc/GMT+{west}")


async def assert_oldest_first(world: World) -> None:
    rows = await world.fetch(
        "select m.send_at, m.queued_at, a.started_at from messages m join attempts a on a.message_id = m.id"
    )

    def middles(of: str) -> list[float]:
        return [
            median(row[of].timestamp() for row in rows if row["send_at"] == NOON + timedelta(hours=hour))
            for hour in range(1, INSTANTS + 1)
        ]

    queued, begun = middles("queued_at"), middles("started_at")
    assert queued == sorted(queued), queued
    # Several bundles are under way at once, so the calls of neighbours may overlap.
    assert begun[0] < begun[-1], begun


@pytest.mark.parametrize("planned_before", [True, False], ids=["planned", "not planned"])
@pytest.mark.parametrize(
    ("hours", "becomes"),
    [(24, {"sent": INSTANTS * EACH, "scheduled": EACH}), (72, {"expired": INSTANTS * EACH, "sent": EACH})],
    ids=["a day", "three days"],
)
async def test_days_without_any_node_are_made_up_for_oldest_first(
    small_world: World, planned_before: bool, hours: int, becomes: dict[str, int]
) -> None:
    """Nodes are down over the daily job and over 09:00.

    Every missed user is greeted once, with or without a row. Those who are too late are listed with the reason.
    """
    world = small_world
    await world.begin()
    await users_of_five_hours(world)
    await world.users(EACH, (NOON + timedelta(hours=30)).date(), timezone="Etc/GMT+9")
    if planned_before:
        node = await world.node()
        await world.planned((INSTANTS + 1) * EACH)
        assert await node.drained() == 0

    await world.clock.set(NOON + timedelta(hours=hours))
    node = await world.node()

    async def became() -> bool:
        return await world.counts() == becomes

    await eventually(became)
    sent, expired = becomes["sent"], becomes.get("expired", 0)
    await world.assert_each_was_accepted_once(sent)
    if sent == INSTANTS * EACH:
        await assert_oldest_first(world)
    assert await node.metric('messages_expired_total{occasion="birthday"}') == expired
    _, page = await node.get("/api/v1/messages?status=expired&limit=500")
    assert len(page["items"]) == min(expired, 500)
    reasons = {one["reason"] for one in page["items"]}
    assert reasons == ({"too late to send: more than 2 days after its instant"} if expired else set())


async def test_what_was_half_planned_when_the_node_died_is_planned_over_a_missed_midnight(small_world: World) -> None:
    """The daily job of one day died in the middle, and that of the next day did not run."""
    world = small_world
    await world.begin()
    days = [NOON.date() + timedelta(days=number) for number in (1, 2, 3)]
    for day in days:
        await world.users(EACH, day)
    dying = await world.node("--crash-at", f"{Failpoint.PLANNED}:4")
    await dying.ended()
    assert await world.value("select count(*) from plan_ranges") > 0
    assert await world.value("select count(*) from messages") < 2 * EACH

    # From noon, past midnight and 09:00, to the afternoon of the next day.
    await world.clock.set(NOON + timedelta(hours=25))
    await world.node()
    await world.planned(3 * EACH)
    await eventually(lambda: world.has("sent", EACH))

    async def no_range_is_left() -> bool:
        return bool(await world.value("select count(*) from plan_ranges") == 0)

    await eventually(no_range_is_left)
    rows = await world.fetch("select send_at, status, count(*) from messages group by 1, 2 order by 1")
    nine = [datetime(day.year, day.month, day.day, 9, tzinfo=UTC) for day in days]
    assert [tuple(row) for row in rows] == [
        (nine[0], "sent", EACH),
        (nine[1], "scheduled", EACH),
        (nine[2], "scheduled", EACH),
    ]


async def test_a_clock_jump_back_in_a_wave_sends_nothing_early_or_twice(
    world: World,
) -> None:
    """After a jump back by an hour, queued messages are not due and wait for their instant again."""
    people = 1_000
    world.stub.change(world.stub.options.changed({"latency": 0.1}))
    await world.begin()
    node = await world.node(EMAIL_CONCURRENCY="20", EMAIL_TIMEOUT="20s")
    due = await world.wave(people)
    await world.clock.set(due)
    await world.accepted(60)

    await world.clock.advance(timedelta(hours=-1))
    await node.logged("clock_jumped", times=2)

    async def nothing_is_on_its_way() -> bool:
        assert (await node.call("POST", "/api/v1/jobs/recovery:run"))[0] == 202
        counts = await world.counts()
        return counts["sending"] == counts["queued"] == 0

    await eventually(nothing_is_on_its_way, every=0.3)
    before = world.stub.ledger.requests
    for minutes in (40, 20, 1):
        await world.clock.set(due - timedelta(minutes=minutes))
        for job in ("daily", "minute", "recovery"):
            assert (await node.call("POST", f"/api/v1/jobs/{job}:run"))[0] == 202
    assert world.stub.ledger.requests == before < people

    await world.clock.set(due)
    await world.all_are("sent", people)
    await world.assert_each_was_accepted_once(people)


async def test_what_is_later_than_the_late_limit_expires_and_is_counted(small_world: World) -> None:
    """A greeting that is two days late is not sent, but it must be counted and listed."""
    world = small_world
    await world.begin()
    await users_of_five_hours(world)

    await world.clock.set(NOON + timedelta(hours=50, minutes=30))
    node = await world.node()
    await world.planned(INSTANTS * EACH)
    await world.all_end()

    assert await world.counts() == {"expired": 2 * EACH, "sent": 3 * EACH}
    late = await world.value("select max(send_at) from messages where status = 'expired'")
    assert late == NOON + timedelta(hours=2)
    assert await node.metric('messages_expired_total{occasion="birthday"}') == 2 * EACH
    lines = node.lines_of("greeting_expired", level="warning", actor="ticker", outcome="not_attempted", attempt=0)
    expired = await world.fetch("select id::text from messages where status = 'expired'")
    assert sorted(line["message"] for line in lines) == sorted(row["id"] for row in expired)
    await world.assert_each_was_accepted_once(3 * EACH)


async def test_a_jump_of_the_clock_is_noticed_within_two_seconds(small_world: World) -> None:
    """After a suspended machine or a restored snapshot: forward, due messages are sent; back, nothing is repeated."""
    world = small_world
    await world.begin()
    await users_of_five_hours(world)
    node = await world.node()
    await world.planned(INSTANTS * EACH)

    await world.clock.advance(timedelta(hours=25))
    watch = Stopwatch()
    jump = await node.logged("clock_jumped")
    assert watch.seconds() < 2
    assert jump["seconds"] == pytest.approx(25 * 3600, abs=5)
    await world.all_are("sent", INSTANTS * EACH)

    await world.clock.advance(timedelta(hours=-1))
    watch = Stopwatch()
    jump = await node.logged("clock_jumped", times=2)
    assert watch.seconds() < 2
    assert jump["seconds"] == pytest.approx(-3600, abs=5)
    for job in ("daily", "minute", "recovery"):
        assert (await node.call("POST", f"/api/v1/jobs/{job}:run"))[0] == 202
    # Messages due in that hour are sent when it comes again; the node does not wait for the previous time.
    await world.users(1, (NOON + timedelta(days=1)).date(), timezone="Etc/GMT+4")
    await world.fetch("update planning set planned_until = least(planned_until, $1)", NOON)  # planned without that user
    assert (await node.call("POST", "/api/v1/jobs/daily:run"))[0] == 202
    await world.planned(INSTANTS * EACH + 1)
    assert await world.counts() == {"sent": INSTANTS * EACH, "scheduled": 1}
    await world.clock.set(NOON + timedelta(hours=25, minutes=2))
    await world.all_are("sent", INSTANTS * EACH + 1)

    await world.assert_each_was_accepted_once(INSTANTS * EACH + 1)


async def test_a_node_whose_own_clock_is_ten_minutes_fast_sends_nothing_early(
    small_world: World, tmp_path: Path
) -> None:
    """Its clock affects only its logs; a metric shows the difference."""
    world = small_world
    await world.begin()
    node = await world.node(beside=fast_clock(tmp_path))
    due = await world.wave(100)

    await world.clock.set(due - timedelta(seconds=4))
    await node.logged("clock_jumped")
    await world.all_are("sent", 100)

    await world.assert_nobody_was_greeted_early()
    early = await world.value("select min(claimed_at) - $1 from messages", due)
    assert early >= timedelta(0)
    assert await node.metric("clock_skew_seconds") == pytest.approx(600, abs=30)


def fast_clock(directory: Path) -> dict[str, str]:
    """Return an environment in which a process's clock is ten minutes fast."""
    if libraries := [*Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1")]:
        return {"LD_PRELOAD": str(libraries[0]), "FAKETIME": "+600", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    # Without libfaketime only Python's own clock is wrong.
    (directory / "sitecustomize.py").write_text(
        "import time\nreal = time.time\ntime.time = lambda: real() + 600\n"
        "real_ns = time.time_ns\ntime.time_ns = lambda: real_ns() + 600_000_000_000\n"
    )
    return {"PYTHONPATH": str(directory)}
