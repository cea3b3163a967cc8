"""A preview shows what planning, ticker and edits then do, for every zone, rule and kind of user."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest

from service.adapters.postgres.preview import PostgresPreviews
from service.domain.calendar import LeapDay, OutOfRange, Rule, occurrence
from service.domain.planning import PlanningRules, days, desired_messages, horizon
from service.domain.users import Profile
from service.domain.zones import zone_names
from service.reports.eligibility import EXPECTED, LeftOut, Prospect
from service.reports.forecast import forecast
from service.reports.preview import Preview, Scope
from tests.conftest import Clock
from tests.edits import edited
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store
from tests.service.adapters.postgres.planned import begin_at, utc

ZONES = sorted(zone_names())
DAY = timedelta(days=1)

Key = tuple[UUID, str, int]


class Begin(NamedTuple):
    """The middle of a window, and the rules of the three occasions."""

    at: str
    leap_day: LeapDay
    anniversary: tuple[time | None, str | None]
    name_day: tuple[time | None, str | None]


BEGINS = [
    Begin("2027-02-26T03:20:00", LeapDay.FEB28, (time(18, 30, 15), "mar1"), (time(0), "skip")),
    Begin("2027-02-27T22:00:00", LeapDay.SKIP, (None, "feb28"), (time(23, 59, 59), None)),
    Begin("2028-02-27T12:00:00", LeapDay.MAR1, (time(2, 30), None), (None, "skip")),
    Begin("2026-12-29T10:07:00", LeapDay.FEB28, (time(0), None), (time(23, 59), None)),
    Begin("2027-03-12T00:00:00", LeapDay.FEB28, (time(2, 30), None), (time(1, 30), None)),
    Begin("2027-10-29T17:00:00", LeapDay.FEB28, (time(1, 30), None), (time(2), None)),
    Begin("2011-12-28T06:00:00", LeapDay.FEB28, (time(0), None), (time(9), None)),
]
"""Leap days under all three rules, a leap year, New Year, both changes of the clocks, the date that Samoa left out."""


class Stage:
    """A service with users in a third of all zones, planned and previewed by one set of rules."""

    def __init__(self, store: Store, clock: Clock, begin: Begin) -> None:
        self.store = store
        self.clock = clock
        self.begin = begin
        self.at = utc(begin.at)
        self.random = random.Random(begin.at)
        self.previews = PostgresPreviews(store.database, late_limit=LATE_LIMIT)
        self.rules = PlanningRules(time(9), begin.leap_day, ())
        # A third for each begin: all of them together see each zone at least twice.
        self.zones = ZONES[BEGINS.index(begin) % 3 :: 3]

    async def set_up(self) -> None:
        """Create a user in each of its zones, most with three occasions near the begin, and plan up to the begin."""
        await begin_at(self.store, self.clock, self.at)
        await self.clock.rate(0)
        await self.store.fetch("insert into occasions (code, template) values ('name_day', 'Hey')")
        for code, (at, leap_day) in {"anniversary": self.begin.anniversary, "name_day": self.begin.name_day}.items():
            query = "update occasions set send_at = $2, leap_day = $3 where code = $1"
            await self.store.fetch(query, code, at, leap_day)
        await self.store.fetch("update planning set replanned_version = rules_version")
        await self.read_rules()
        for year in range(self.at.year - 1, self.at.year + 2):
            await self.store.fetch("select ensure_year($1)", year)
        await self.store.users.create_many([(self.profile(zone), []) for zone in self.zones])
        # Most users are old. Every fifth was created within hours of some instant.
        await self.store.fetch(
            """
            update users set created_at = case
                when number % 5 = 0 then $1::timestamptz - make_interval(hours => 50) +
                    make_interval(mins => number * 17 % 6000)
                else $1::timestamptz - interval '1 year' end
            from (select id, row_number() over (order by id)::integer as number from users) n where n.id = users.id
            """,
            self.at,
        )

    async def read_rules(self) -> None:
        """Read the rules of the occasions."""
        self.rules = replace((await self.store.planning.rules()), leap_day=self.begin.leap_day, version=None)

    def profile(self, zone: str) -> Profile:
        """A user who may lack one occasion."""
        dates = {occasion: self.date() for occasion in ("birthday", "anniversary", "name_day")}
        if self.random.random() < 0.2:
            del dates[self.random.choice(sorted(dates))]
        return Profile("Ada", "Smith", f"ada{self.random.getrandbits(60)}@example.com", zone, dates)

    def date(self) -> date:
        """A date whose day is near the begin, and often 29 February."""
        day = self.at.date() + timedelta(days=self.random.randint(-4, 7))
        if (day.month, day.day) in ((2, 28), (3, 1)) and self.random.random() < 0.6:
            return date(1992, 2, 29)
        return date(1980, day.month, day.day)

    async def announce(self) -> None:
        """Run the daily job."""
        planned = await self.store.planning.planned()
        up_to = horizon(planned.now)
        await self.store.planning.announce(
            "daily", planned.now, incarnation=1, up_to=up_to, days=days(self.rules, planned.announced, up_to)
        )

    async def plan(self, every: int = 1) -> None:
        """Plan the open ranges, or one in `every`."""
        for range_id in (await self.store.planning.open_ranges(older_than=0, limit=100_000))[::every]:
            await self.store.planning.plan(range_id, self.rules, tzdata="test")

    async def live(self, count: int) -> None:
        """Let planning run for this many days."""
        for _ in range(count):
            await self.clock.advance(DAY)
            await self.announce()
            await self.plan()

    async def send(self) -> None:
        """Claim or expire due messages. Most of the claimed ones are sent, some fail."""
        await self.store.messages.claim_due(fence=1, incarnation=1, limit=100_000, late_limit=LATE_LIMIT)
        await self.store.fetch(
            """
            update messages set ended_at = business_now(), attempt = 1, status_reason = 'test',
                status = (array['sent', 'sent', 'sent', 'failed', 'unknown'])[1 + abs(hashtext(id::text)) % 5]
            where status = 'queued'
            """
        )

    async def edit(self) -> None:
        """Move some users, give or remove dates, delete some, create some."""
        now = await self.clock.now()
        ids = [row["id"] for row in await self.store.fetch("select id from users where deleted_at is null order by id")]
        for user_id in self.random.sample(ids, 120):
            if self.random.random() < 0.2:
                erase = self.random.random() < 0.3
                await self.store.users.delete(user_id, version=None, by=OPERATOR, erase=erase)
                continue
            await edited(self.store.users, user_id, lambda user: self._moved(user.profile), self._wanted, version=None)
        for zone in self.random.sample(self.zones, 40):
            profile = self.profile(zone)
            await self.store.users.create(profile, self._wanted(None, profile, now))
        failed = await self.store.fetch("select id from messages where status in ('failed', 'expired') limit 15")
        await self.store.messages.redrive([row["id"] for row in failed], by=OPERATOR)

    def _moved(self, profile: Profile) -> Profile:
        new = self.profile(self.random.choice(self.zones))
        dates = new.dates if self.random.random() < 0.6 else profile.dates
        return Profile(profile.first_name, profile.last_name, profile.email, new.timezone, dates)

    def _wanted(self, _before: Profile | None, after: Profile, now: datetime) -> list[Any]:
        dates = {row.code: after.dates.get(row.code) for row in self.rules.occasions}
        return desired_messages(self.rules, dates, after.timezone, now=now)

    async def look(self, starts_at: datetime, ends_at: datetime, **scope: Any) -> dict[Key, Prospect]:
        """Preview the window in pages of some size, and check that no user is in it twice."""
        planned = await self.store.planning.planned()
        preview = Preview(self.previews, self.rules, planned, late_limit=LATE_LIMIT)
        limit = self.random.choice([37, 100, 500])
        found: list[Prospect] = []
        page = await preview.page(wanted := Scope(starts_at, ends_at, **scope), after=None, limit=limit)
        found += page.items
        while page.more is not None:
            page = await preview.page(wanted, after=page.more, limit=limit)
            assert len(page.items) <= limit
            found += page.items
        keyed = {(one.user_id, one.occasion, one.local_year or 0): one for one in found}
        assert len(keyed) == len(found)
        return keyed

    async def messages(self) -> dict[Key, asyncpg.Record]:
        """Return every message."""
        rows = await self.store.fetch("select * from messages")
        return {(row["user_id"], row["occasion"], row["local_year"]): row for row in rows}

    async def days(self, starts_at: datetime, ends_at: datetime) -> dict[Key, tuple[datetime, bool]]:
        """Compute every day of a user within the window, one by one, and whether it is skipped."""
        rows = await self.store.fetch(
            "select d.*, u.timezone from occasion_dates d join users u on u.id = user_id and u.deleted_at is null"
        )
        found = {}
        for row in rows:
            due = self.rules.of(row["occasion"])
            at, leap_day = due.at, due.leap_day
            for year in range(starts_at.year - 1, ends_at.year + 2):
                try:
                    one = occurrence(row["date"], row["timezone"], year, at=at, leap_day=leap_day)
                    shown = occurrence(row["date"], row["timezone"], year, at=at)
                except OutOfRange:
                    continue
                send_at = one.send_at or shown.send_at
                if send_at is not None and starts_at <= send_at < ends_at:
                    found[row["user_id"], row["occasion"], year] = (send_at, one.rule is Rule.SKIPPED)
        return found


def at(*begins: Begin, by_night: Sequence[Begin] = ()) -> pytest.MarkDecorator:
    """Run a test on a stage for each of these."""
    stages = [pytest.param(begin, id=begin.at) for begin in begins]
    stages += [pytest.param(begin, id=begin.at, marks=pytest.mark.nightly) for begin in by_night]
    return pytest.mark.parametrize("stage", stages, indirect=True)


@pytest.fixture
async def stage(request: pytest.FixtureRequest, store: Store, clock: Clock) -> Stage:
    stage = Stage(store, clock, request.param)
    await stage.set_up()
    return stage


@at(*BEGINS)
async def test_exactly_the_users_whom_a_preview_expects_are_planned(stage: Stage) -> None:
    """Some announced ranges are not planned yet, and later ones are not announced."""
    await stage.announce()
    await stage.plan(every=2)
    starts_at, ends_at = stage.at - 3 * DAY, stage.at + 8 * DAY
    before = await stage.messages()

    seen = await stage.look(starts_at, ends_at)
    await stage.plan()
    await stage.live(7)

    made = {key: row for key, row in (await stage.messages()).items() if key not in before}
    made = {key: row for key, row in made.items() if starts_at <= row["send_at"] < ends_at}
    expected = {key: one for key, one in seen.items() if one.status == EXPECTED}
    assert len(before) > 20
    assert len(expected) > 100
    assert expected.keys() == made.keys()
    for key, one in expected.items():
        row = made[key]
        assert (one.send_at, one.timezone, one.message_id) == (row["send_at"], row["timezone"], None)
    for key, row in before.items():
        assert (seen[key].send_at, seen[key].timezone, seen[key].message_id) == (
            row["send_at"], row["timezone"], row["id"]
        )  # fmt: skip
    assert seen.keys() == (await stage.days(starts_at, ends_at)).keys()


@at(*BEGINS[::4], by_night=BEGINS[2::4])
async def test_who_is_left_out_is_left_out_for_the_reason_that_is_given(stage: Stage) -> None:
    """After days of edits, failures, redrives and another rule, each reason is checked against the rows."""
    starts_at, ends_at = stage.at + DAY / 2, stage.at + 4.5 * DAY
    for _ in range(3):
        await stage.announce()
        await stage.plan(every=2)
        await stage.send()
        await stage.edit()
        await stage.clock.advance(DAY)
    await stage.announce()
    await stage.store.fetch("update occasions set send_at = '12:00', leap_day = 'mar1' where code = 'name_day'")
    await stage.read_rules()
    now = await stage.clock.now()
    messages, days_of = await stage.messages(), await stage.days(starts_at, ends_at)
    users = {row["id"]: row for row in await stage.store.fetch("select * from users")}

    seen = await stage.look(starts_at, ends_at)
    await stage.plan()
    await stage.live(6)
    after = await stage.messages()

    inside = {key for key, row in messages.items() if starts_at <= row["send_at"] < ends_at}
    assert seen.keys() == inside | days_of.keys()
    reasons = set()
    for key, one in seen.items():
        reasons.add(one.left_out)
        user, row = users[key[0]], messages.get(key)
        assert one.message_id == (row["id"] if row is not None else None)
        assert one.status == (row["status"] if row is not None else EXPECTED if one.left_out is None else None)
        assert (one.status == EXPECTED) == (key in after and key not in messages), one
        if key in inside:
            assert row is not None
            assert (one.send_at, one.timezone) == (row["send_at"], row["timezone"])
            assert one.rule is None or user["deleted_at"] or days_of[key][0] == one.send_at
        else:
            send_at, skipped = days_of[key]
            assert (one.send_at, one.rule is Rule.SKIPPED) == (None if skipped else send_at, skipped)
        match one.left_out:
            case None:
                assert row is None or row["status"] in ("scheduled", "queued", "retrying", "sending", "sent")
            case LeftOut.DELETED:
                assert user["deleted_at"] is not None
            case LeftOut.CREATED_TOO_LATE:
                assert row is None
                assert user["created_at"] >= days_of[key][0]
            case LeftOut.SKIPPED_LEAP_DAY:
                assert days_of[key][1]
            case LeftOut.ALREADY_GREETED:
                assert row is not None
                assert row["status"] == "sent"
                assert key not in inside
            case LeftOut.ALREADY_PLANNED:
                assert row is not None
                assert row["ended_at"] is None
                assert key not in inside
            case LeftOut.TOO_LATE_TO_SEND:
                assert row is None or row["status"] in ("expired", "scheduled")
                assert one.send_at is not None
                # A message that expired at an earlier instant stays expired, even if the new instant would not be too
                # late.
                assert one.send_at < now - LATE_LIMIT or (row is not None and row["status"] == "expired")
            case LeftOut.NOT_PLANNED:
                assert row is None
                assert key not in after
            case LeftOut.CANCELLED | LeftOut.FAILED | LeftOut.UNKNOWN:
                assert row is not None
                assert row["status"] == one.left_out
            case _:
                raise AssertionError(one)
    # The others need luck, or have their own test.
    assert reasons >= {None, LeftOut.CREATED_TOO_LATE, LeftOut.FAILED, LeftOut.UNKNOWN, LeftOut.DELETED}


@at(*BEGINS[1::4])
async def test_after_an_outage_a_preview_knows_what_will_expire(stage: Stage) -> None:
    """Nothing was planned for three days. Messages within the late limit leave at once, and the others expire."""
    await stage.announce()
    await stage.plan(every=2)
    await stage.clock.advance(3 * DAY)
    starts_at, now = stage.at - 3 * DAY, await stage.clock.now()

    seen = await stage.look(starts_at, now)
    before = await stage.messages()
    await stage.announce()
    await stage.plan()
    await stage.store.messages.claim_due(fence=1, incarnation=1, limit=100_000, late_limit=LATE_LIMIT)

    rows = {key: row for key, row in (await stage.messages()).items() if starts_at <= row["send_at"] < now}
    assert len(rows) > 80
    leaves = {key for key, one in seen.items() if one.left_out is None}
    too_late = {key for key, one in seen.items() if one.left_out is LeftOut.TOO_LATE_TO_SEND}
    assert leaves == {key for key, row in rows.items() if row["status"] == "queued"}
    assert too_late >= {key for key, row in rows.items() if row["status"] == "expired"}
    # Days before the begin are not planned: it is too late for those, too.
    assert all(one.send_at is not None and one.send_at < stage.at for key, one in seen.items()
               if key in too_late and key not in rows)  # fmt: skip
    assert leaves & before.keys()
    assert leaves - before.keys()

    # The email service is away for another three days. What is queued meanwhile is not sent any more.
    await stage.clock.advance(3 * DAY)
    later = await stage.look(starts_at, now)
    assert {later[key].left_out for key in leaves} == {LeftOut.TOO_LATE_TO_SEND}


@at(*BEGINS[::6])
async def test_a_preview_of_one_user_is_their_part_of_the_whole(stage: Stage) -> None:
    """It uses another query, so the results could differ."""
    starts_at, ends_at = stage.at - 3 * DAY, stage.at + 8 * DAY
    await stage.announce()
    await stage.plan(every=2)
    await stage.edit()
    whole = await stage.look(starts_at, ends_at, deleted=True)

    for user_id in stage.random.sample(sorted({key[0] for key in whole}), 60):
        found = await stage.look(starts_at, ends_at, user_id=user_id)

        of_window = {key: one for key, one in found.items() if one.local_year is not None}
        assert of_window == {key: one for key, one in whole.items() if key[0] == user_id}
        assert {one.left_out for key, one in found.items() if key not in of_window} <= {
            LeftOut.NO_DATE,
            LeftOut.DELETED,
        }


@at(BEGINS[0])
async def test_a_message_keeps_its_instant_when_the_rules_change_and_a_preview_says_so(stage: Stage) -> None:
    """Until it is planned again, a planned message does not follow a changed hour."""
    await stage.store.fetch("delete from users where id <> (select id from users order by id limit 1)")
    [user] = await stage.store.fetch("select id from users")
    await stage.store.fetch("update users set timezone = 'UTC', created_at = $1", stage.at - 9 * DAY)
    day = (stage.at + DAY).date()
    await stage.store.fetch("delete from occasion_dates")
    query = "insert into occasion_dates values ($1, 'birthday', $2)"
    await stage.store.fetch(query, user["id"], day.replace(year=1990))
    await stage.announce()
    await stage.plan()
    key, nine = (user["id"], "birthday", 2027), datetime.combine(day, time(9), UTC)
    hour = timedelta(hours=1)

    await stage.store.fetch("update occasions set send_at = '10:00' where code = 'birthday'")
    await stage.read_rules()
    of_day = await stage.look(nine - 9 * hour, nine + 9 * hour)
    of_ten = await stage.look(nine + hour, nine + 2 * hour)
    next_year = await stage.look(nine + 364 * DAY, nine + 366 * DAY, occasion="birthday")

    assert (of_day[key].send_at, of_day[key].rule, of_day[key].left_out) == (nine, None, None)
    assert (of_ten[key].send_at, of_ten[key].status) == (nine + hour, "scheduled")
    assert of_ten[key].left_out is LeftOut.ALREADY_PLANNED
    assert [one.send_at for one in next_year.values()] == [nine.replace(year=2028) + hour]


@at(BEGINS[0], BEGINS[3])
async def test_a_forecast_counts_what_then_is_due(stage: Stage) -> None:
    """By minute and occasion, although half of it is not planned yet, and some is late."""
    await stage.announce()
    await stage.plan(every=2)
    await stage.clock.advance(DAY / 2)

    found = await forecast(stage.previews, stage.rules, hours=96, late_limit=LATE_LIMIT, rate=0.01)
    await stage.announce()
    await stage.plan()
    on_the_way = await stage.previews.load(lambda planned: planned.now, lambda _planned: [], lambda _planned, _day: {})
    await stage.clock.advance(3 * DAY)
    await stage.announce()
    await stage.plan()

    rows = await stage.store.fetch(
        "select date_trunc('minute', send_at) as at, occasion, count(*) from messages"
        " where send_at > $1 and send_at < $2 group by 1, 2",
        found.now,
        found.until,
    )
    assert len(rows) > 30
    counted = {(one.at, occasion): count for one in found.minutes for occasion, count in one.counts.items()}
    assert counted == {(row["at"], row["occasion"]): row["count"] for row in rows}
    assert found.backlog.due > 0
    assert found.backlog.to_plan > 0
    assert found.backlog.due + found.backlog.to_plan == on_the_way.due
    assert found.waves is not None
    assert sum(wave.messages for wave in found.waves) == found.backlog.total + sum(row["count"] for row in rows)
