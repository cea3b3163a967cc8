"""A change of the rules moves unsent messages as an edit would: no user is lost or greeted twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta

import asyncpg
import pytest

from service.domain.calendar import LeapDay
from service.domain.occasions import date_field
from service.domain.planning import CalendarDefaults, days, days_to_announce, desired_messages
from service.domain.texts import mistake, uses_years
from service.ports import RulesChanged
from tests.conftest import Clock
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store, profile
from tests.service.adapters.postgres.planned import begin_at, utc

NINE = CalendarDefaults(time(9))


async def write(store: Store, defaults: CalendarDefaults | None) -> None:
    """Write the rules as a node does, and plan the announced ranges."""
    state = await store.planning.rules_state()
    ranges = await store.planning.change_rules(state.version, defaults, incarnation=1)
    assert ranges is not None
    await plan_all(store)


async def plan_all(store: Store) -> None:
    rules = await store.planning.rules()
    for number in await store.planning.open_ranges(older_than=0, limit=10_000):
        await store.planning.plan(number, rules, tzdata="test")


async def announce(store: Store, up_to: datetime) -> None:
    """Announce and plan up to that instant, as the daily job does."""
    rules, planned = await store.planning.rules(), await store.planning.planned()
    found = days_to_announce(rules, planned.announced, up_to)
    await store.planning.announce("daily", up_to, incarnation=1, up_to=up_to, days=found)
    await plan_all(store)


async def create(store: Store, birthday: str, timezone: str = "UTC") -> None:
    """Create a user as the API does."""
    who = profile(date.fromisoformat(birthday), timezone)
    now = await store.database.value("select business_now()")
    await store.users.create(who, desired_messages(await store.planning.rules(), who.dates, timezone, now=now))


async def begin(store: Store, clock: Clock, at: str, defaults: CalendarDefaults = NINE) -> None:
    """Set the clock to `at`, write the rules, and plan up to now."""
    await begin_at(store, clock, utc(at))
    await clock.rate(0)
    await write(store, defaults)


async def instants(store: Store) -> list[datetime]:
    """The instants of scheduled messages."""
    rows = await store.fetch("select send_at from messages where status = 'scheduled' order by send_at")
    return [row["send_at"] for row in rows]


async def test_moving_the_hour_earlier_loses_no_user_between_the_two(store: Store, clock: Clock) -> None:
    """By 09:00 the user lies after the planned instant, by 08:00 before it, so neither rule alone would plan them."""
    await begin(store, clock, "2030-05-01 08:30")
    await create(store, "1990-05-03")
    await announce(store, utc("2030-05-03 08:30"))
    assert await instants(store) == []

    await write(store, CalendarDefaults(time(8)))

    assert await instants(store) == [utc("2030-05-03 08:00")]


@pytest.mark.parametrize("hour", [7, 8, 10, 11])
async def test_what_is_planned_moves_with_the_hour(store: Store, clock: Clock, hour: int) -> None:
    await begin(store, clock, "2030-05-01 00:00")
    await create(store, "1990-05-02")
    await announce(store, utc("2030-05-03 00:00"))

    await write(store, CalendarDefaults(time(hour)))

    assert await instants(store) == [utc("2030-05-02 00:00") + timedelta(hours=hour)]
    assert await store.database.value("select count(*) from messages") == 1


async def test_a_message_made_before_the_first_daily_job_moves_too(store: Store, clock: Clock) -> None:
    """The API plans a user whose 09:00 is near, even if the daily job has not run."""
    await begin(store, clock, "2030-05-01 07:00")
    await store.fetch("update planning set planned_until = $1", utc("2030-05-02 00:00"))
    await create(store, "1990-05-01")
    assert await instants(store) == [utc("2030-05-01 09:00")]

    await write(store, CalendarDefaults(time(11)))

    assert await instants(store) == [utc("2030-05-01 11:00")]


async def test_an_instant_that_comes_to_lie_in_the_past_is_due_at_once(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-01 00:00")
    await create(store, "1990-05-01")
    await announce(store, utc("2030-05-03 00:00"))
    await clock.set(utc("2030-05-01 08:30"))

    await write(store, CalendarDefaults(time(8)))

    (row,) = await store.fetch("select status, send_at, due_at from messages")
    assert tuple(row) == ("scheduled", utc("2030-05-01 08:00"), utc("2030-05-01 08:30"))


async def test_a_user_created_between_the_two_instants_keeps_the_old_one(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-01 08:15")
    await announce(store, utc("2030-05-03 00:00"))
    await create(store, "1990-05-01")
    await clock.set(utc("2030-05-01 08:30"))

    await write(store, CalendarDefaults(time(8)))

    assert await instants(store) == [utc("2030-05-01 09:00")]


async def test_a_user_who_was_greeted_is_not_greeted_again_when_the_hour_moves_later(
    store: Store, clock: Clock
) -> None:
    await begin(store, clock, "2030-05-01 00:00")
    await create(store, "1990-05-01")
    await announce(store, utc("2030-05-03 00:00"))
    await store.fetch("update messages set status = 'sent', attempt = 1, ended_at = business_now()")
    await clock.set(utc("2030-05-01 09:30"))

    await write(store, CalendarDefaults(time(10)))

    assert set((await store.statuses()).values()) == {"sent"}


async def test_what_is_being_sent_follows_if_it_is_not_accepted(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-01 00:00")
    await create(store, "1990-05-01")
    await announce(store, utc("2030-05-03 00:00"))
    await store.fetch(
        "update messages set status = 'sending', attempt = 1, claimed_by = 1, claimed_at = business_now()"
    )

    await write(store, CalendarDefaults(time(11)))

    (row,) = await store.fetch("select status, send_at, reschedule_to from messages")
    assert tuple(row) == ("sending", utc("2030-05-01 09:00"), utc("2030-05-01 11:00"))


@pytest.mark.parametrize(
    ("before", "after", "at", "expected"),
    [
        (LeapDay.MAR1, LeapDay.FEB28, "2030-02-28 12:00", ["2030-02-28 09:00"]),
        (LeapDay.MAR1, LeapDay.FEB28, "2030-02-27 00:00", ["2030-02-28 09:00"]),
        (LeapDay.FEB28, LeapDay.MAR1, "2030-02-28 08:00", ["2030-03-01 09:00"]),
        (LeapDay.FEB28, LeapDay.SKIP, "2030-02-28 08:00", []),
        (LeapDay.MAR1, LeapDay.SKIP, "2030-02-28 08:00", []),
        (LeapDay.SKIP, LeapDay.FEB28, "2030-02-28 12:00", ["2030-02-28 09:00"]),
        (LeapDay.SKIP, LeapDay.MAR1, "2030-02-28 08:00", ["2030-03-01 09:00"]),
    ],
)
async def test_a_leap_day_moves_with_its_rule_and_back(
    store: Store, clock: Clock, before: LeapDay, after: LeapDay, at: str, expected: list[str]
) -> None:
    """After both changes, each user has at most one message, by the present rule."""
    await begin(store, clock, "2030-02-26 00:00", CalendarDefaults(time(9), before))
    await create(store, "1992-02-29")
    await clock.set(utc(at))
    await announce(store, utc(at) + timedelta(hours=48))
    planned_before = await instants(store)

    await write(store, CalendarDefaults(time(9), after))
    assert await instants(store) == [utc(one) for one in expected]
    await write(store, CalendarDefaults(time(9), before))

    # Messages that came into the planned time by the other rule stay planned, although this rule puts them beyond it.
    announced = utc(at) + timedelta(hours=48)
    assert [one for one in await instants(store) if one < announced] == planned_before
    assert await store.database.value("select count(*) from messages") <= 1


async def test_an_occasion_with_its_own_hour_moves_alone(store: Store, clock: Clock) -> None:
    """The row is changed by SQL, and the next check of a node plans it again."""
    await begin(store, clock, "2030-05-01 00:00")
    await create(store, "1990-05-02")
    await announce(store, utc("2030-05-03 00:00"))

    await store.fetch("update occasions set send_at = '17:30' where code = 'birthday'")
    state = await store.planning.rules_state()
    assert state.replanned_version < state.version
    await write(store, None)

    assert await instants(store) == [utc("2030-05-02 17:30")]
    state = await store.planning.rules_state()
    assert state.replanned_version == state.version


async def test_a_user_by_rules_that_have_changed_is_refused_and_not_stored(store: Store, clock: Clock) -> None:
    """The change has not seen the user, so the message would keep its old instant."""
    await begin(store, clock, "2030-05-01 00:00")
    rules = await store.planning.rules()
    who = profile(date(1990, 5, 2))
    user = await store.users.create(who, desired_messages(rules, who.dates, "UTC", now=utc("2030-05-01 00:00")))
    await write(store, CalendarDefaults(time(8)))

    other = profile(date(1990, 5, 2))
    desired = desired_messages(rules, other.dates, "UTC", now=utc("2030-05-01 00:00"))
    with pytest.raises(RulesChanged):
        await store.users.create(other, desired)
    with pytest.raises(RulesChanged):
        async with store.users.editing(user.id, version=None) as editing:
            await editing.store(other, desired)

    assert await store.database.value("select count(*) from users") == 1


async def test_a_range_by_rules_that_have_changed_stays(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-01 00:00")
    await create(store, "1990-05-02")
    rules = await store.planning.rules()
    up_to = utc("2030-05-03 00:00")
    ranges = await store.planning.announce(
        "daily", up_to, incarnation=1, up_to=up_to, days=days(rules, utc("2030-05-01 00:00"), up_to)
    )
    state = await store.planning.rules_state()
    await store.planning.change_rules(state.version, CalendarDefaults(time(8)), incarnation=1)

    assert ranges
    for number in ranges:
        with pytest.raises(RulesChanged):
            await store.planning.plan(number, rules, tzdata="test")
    await plan_all(store)

    assert await instants(store) == [utc("2030-05-02 08:00")]


async def test_nothing_is_handed_out_by_an_instant_that_has_been_replaced(store: Store, clock: Clock) -> None:
    """09:00 is due while the messages move to 10:00. None leaves an hour early."""
    await begin(store, clock, "2030-05-01 00:00")
    await create(store, "1990-05-01")
    await announce(store, utc("2030-05-03 00:00"))
    await clock.set(utc("2030-05-01 09:00"))
    state = await store.planning.rules_state()
    await store.planning.change_rules(state.version, CalendarDefaults(time(10)), incarnation=1)

    due = await store.messages.claim_due(fence=1, incarnation=1, limit=10, late_limit=LATE_LIMIT)
    assert due.queued == ()
    await plan_all(store)
    await clock.set(utc("2030-05-01 10:00"))

    due = await store.messages.claim_due(fence=1, incarnation=1, limit=10, late_limit=LATE_LIMIT)
    assert len(due.queued) == 1


async def test_a_range_that_cannot_be_planned_does_not_hold_up_the_others_for_long(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-01 00:00")
    await create(store, "1990-05-01")
    await announce(store, utc("2030-05-03 00:00"))
    await clock.set(utc("2030-05-01 09:00"))
    state = await store.planning.rules_state()
    await store.planning.change_rules(state.version, CalendarDefaults(time(9), LeapDay.SKIP), incarnation=1)
    await store.fetch("update plan_ranges set announced_at = announced_at - interval '11 minutes'")

    due = await store.messages.claim_due(fence=1, incarnation=1, limit=10, late_limit=LATE_LIMIT)

    assert len(due.queued) == 1


async def test_two_nodes_that_write_at_the_same_time_write_once(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-01 00:00")
    state = await store.planning.rules_state()

    assert await store.planning.change_rules(state.version, CalendarDefaults(time(8)), incarnation=1) is not None
    assert await store.planning.change_rules(state.version, CalendarDefaults(time(7)), incarnation=2) is None

    assert (await store.planning.rules()).send_at == time(8)


async def test_an_occasion_that_is_not_understood_leaves_out_itself_alone(store: Store, clock: Clock) -> None:
    """It is named, and its days wait. Once understood, it is planned like the others."""
    await begin(store, clock, "2030-05-01 00:00")
    await create(store, "1990-05-02")
    await store.fetch("alter table occasions disable trigger occasions_checked")
    await store.fetch("insert into occasions (code, template, send_at) values ('eve', 'Hi {first_name}', '24:00')")
    await store.fetch("insert into occasion_dates select id, 'eve', '1990-05-02' from users")
    await store.fetch("alter table occasions enable trigger occasions_checked")
    await write(store, None)

    rules = await store.planning.rules()
    assert rules.codes == {"birthday", "anniversary"}
    assert [(one.code, one.left_out) for one in rules.problems] == [("eve", True)]
    await announce(store, utc("2030-05-03 00:00"))
    assert await instants(store) == [utc("2030-05-02 09:00")]

    await store.fetch("update occasions set send_at = '23:00' where code = 'eve'")
    await write(store, None)

    assert await instants(store) == [utc("2030-05-02 09:00"), utc("2030-05-02 23:00")]


@pytest.mark.parametrize("send_at", ["24:00", "09:00:00.5"])
async def test_a_time_of_day_that_is_not_understood_cannot_be_written(store: Store, send_at: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="whole seconds"):
        await store.fetch(
            "insert into occasions (code, template, send_at) values ('eve', 'Hi', $1::text::time)", send_at
        )


@pytest.mark.parametrize(("stored", "given"), [("day_1", "day1"), ("day1", "day_1"), ("name_day", "name__day")])
async def test_a_code_with_the_json_field_of_another_cannot_be_written(store: Store, stored: str, given: str) -> None:
    await store.fetch("insert into occasions (code, template) values ($1, 'Hi')", stored)

    with pytest.raises(asyncpg.CheckViolationError, match="same JSON field"):
        await store.fetch("insert into occasions (code, template) values ($1, 'Hi')", given)


async def test_no_user_is_greeted_in_the_year_of_the_date_itself(store: Store, clock: Clock) -> None:
    """A child born today or a hire of today: this holds for planning, edits and creation."""
    await begin(store, clock, "2030-05-01 00:00")
    who = replace(profile(date(1990, 1, 1)), dates={"birthday": date(2030, 5, 2)})
    await store.users.create(
        who, desired_messages(await store.planning.rules(), who.dates, "UTC", now=utc("2030-05-01 00:00"))
    )
    await announce(store, utc("2030-05-03 00:00"))
    assert await instants(store) == []

    (user,) = await store.fetch("select id from users")
    rules = await store.planning.rules()
    async with store.users.editing(user["id"], version=None) as editing:
        after = replace(editing.user.profile, dates={"birthday": date(2030, 5, 1)})
        await editing.store(after, desired_messages(rules, after.dates, "UTC", now=editing.now))
    assert await instants(store) == []
    await write(store, CalendarDefaults(time(8)))

    assert await instants(store) == []


TEMPLATES = (
    "Hey, {full_name}",
    "{first_name} {last_name}{{}}",
    "no field",
    "two\nlines",
    "{years} years",
    "{{years}}",
    "{{{years}}}",
    "{{",
    "{{full_name}}",
    "}}{first_name}",
    "Dear {name}",
    "Dear {full_name",
    "Dear full_name}",
    "{full_name.__class__}",
    "{full_name!r}",
    "{0}",
    "{}",
    "{",
    "}",
    "",
    " ",
    "\t\n\u2003",
    "\u00a0\u3000",
    "\u200b",
    "\x1f",
    "a\x85b",
    "a\u2028b",
    "\U0001f389" * 200,
    "\U0001f389" * 201,
    "x" * 10_001,
)


async def test_the_database_accepts_a_text_exactly_when_heyday_does(store: Store) -> None:
    """A text that cannot be rendered would fail every greeting at 09:00."""
    for template in TEMPLATES:
        (row,) = await store.fetch(
            "select text_mistake($1, false, false) as plain, text_mistake($1, true, false) as years, "
            "text_mistake($1, false, true) as subject, uses_years($1) as uses_years",
            template,
        )
        for found, ours in (
            (row["plain"], mistake(template, years=False)),
            (row["years"], mistake(template)),
            (row["subject"], mistake(template, years=False, one_line=True)),
        ):
            assert (found is None) == (ours is None), (template, found, ours)
            if "\n" not in template and found is not None and "control" not in found:
                assert found.split(": expected")[0] == (ours or "").split(": expected")[0]
        assert row["uses_years"] == uses_years(template), template


WRONG: dict[str, list[object]] = {
    "template": ["Dear {name", "{years}", ""],
    "template_with_years": ["Dear {name", "no years"],
    "subject": ["two\nlines", "", "{years}"],
    "texts": [
        '{"de": {"text": "Lieber {name"}}',
        '{"de": "text"}',
        '{"de": {}}',
        '{"de_AT": {"text": "Hallo"}}',
        '{"de": {"text": "{years}"}}',
        "[]",
        '{"de": {"text": "Hallo", "textWithoutYears": "Hallo"}}',
        '{"de": {"text": "Hallo", "more": "Hallo"}}',
        '{"de": {"text": "Hallo"}, "DE": {"text": "Hallo"}}',
        '{"de": {"text": "Hallo", "subject": 1}}',
        '{"de": {"text": "Hallo", "subject": "two\\nlines"}}',
    ],
    "weekend": ["never"],
    "offset_days": [61, -61],
}


async def test_a_text_or_rule_with_a_mistake_cannot_be_stored_by_sql(store: Store) -> None:
    for column, values in WRONG.items():
        for value in values:
            both = "(code, template)" if column == "template" else f"(code, template, {column})"
            given = "('eve', $1)" if column == "template" else "('eve', 'Hi', $1)"
            for statement in (
                f"update occasions set {column} = $1 where code = 'birthday'",  # noqa: S608
                f"insert into occasions {both} values {given}",  # noqa: S608
            ):
                with pytest.raises(asyncpg.CheckViolationError):
                    await store.fetch(statement, value)


async def test_the_database_knows_the_json_field_of_a_code(store: Store) -> None:
    """Two codes share a field in SQL exactly when they do in JSON."""
    codes = ["a", "a_", "a__b", "a_b", "ab", "a_1", "a1", "a_1_", "a__1", "a1_b", "a_1b", "a_1_b"]
    rows = await store.fetch("select code, occasion_field(code) as field from unnest($1::text[]) as t (code)", codes)
    fields = {row["code"]: row["field"] for row in rows}

    for one in codes:
        for other in codes:
            assert (fields[one] == fields[other]) == (date_field(one) == date_field(other)), (one, other)
