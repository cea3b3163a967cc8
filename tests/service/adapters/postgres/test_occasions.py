"""A change of an occasion moves its unsent messages, and a change of a text applies to queued ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, time
from typing import Any
from uuid import UUID

import pytest

from service.adapters.postgres.history import PostgresHistory
from service.adapters.postgres.occasions import PostgresOccasions
from service.adapters.postgres.preview import PostgresPreviews
from service.domain.calendar import Weekend
from service.domain.dates import MonthDay
from service.domain.occasions import Occasion
from service.domain.planning import desired_messages
from service.domain.texts import Text
from service.ports import OccasionChanged, OccasionInUse, TooManyOccasions
from service.reports.eligibility import LeftOut
from service.reports.explanation import explain
from service.reports.preview import Preview, Scope
from tests.conftest import Clock
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store, profile
from tests.service.adapters.postgres.planned import utc
from tests.service.adapters.postgres.test_rules import announce, begin, create, instants, plan_all, write


async def change(store: Store, code: str = "birthday", *, replanned: bool = True, **changes: Any) -> None:
    """Change an occasion as the API does, and plan again as the nodes do."""
    occasions = PostgresOccasions(store.database)
    entry = await occasions.get(code)
    assert entry is not None
    await occasions.put(replace(entry.occasion, **changes), by=OPERATOR)
    if replanned:
        await write(store, None)


async def queue(store: Store) -> list[UUID]:
    """Hand out due messages."""
    due = await store.messages.claim_due(fence=1, incarnation=1, limit=100, late_limit=LATE_LIMIT)
    return list(due.queued)


async def reasons(store: Store) -> list[tuple[str, str | None]]:
    rows = await store.fetch("select status, status_reason from messages order by send_at")
    return [(row["status"], row["status_reason"]) for row in rows]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"weekend": Weekend.BEFORE}, "2030-05-03 09:00"),
        ({"weekend": Weekend.AFTER}, "2030-05-06 09:00"),
        ({"offset_days": -1}, "2030-05-03 09:00"),
        ({"offset_days": 60}, "2030-07-03 09:00"),
    ],
)
async def test_what_is_planned_moves_by_the_new_rule(
    store: Store, clock: Clock, changes: dict[str, Any], expected: str
) -> None:
    """4 May 2030 is a Saturday."""
    await begin(store, clock, "2030-05-02 12:00")
    await create(store, "1990-05-04")
    await announce(store, utc("2030-05-04 12:00"))
    assert await instants(store) == [utc("2030-05-04 09:00")]

    await change(store, **changes)

    assert await instants(store) == [utc(expected)]
    assert await store.database.value("select count(*) from messages") == 1


async def test_an_offset_brings_days_far_away_into_what_is_planned(store: Store, clock: Clock) -> None:
    """The day is beyond the planned time by the old rule, and within it by the new one."""
    await begin(store, clock, "2030-05-02 12:00")
    await create(store, "1990-06-02")
    await announce(store, utc("2030-05-04 12:00"))
    assert await instants(store) == []

    await change(store, offset_days=-30)

    assert await instants(store) == [utc("2030-05-03 09:00")]


async def test_what_was_moved_far_away_comes_back(store: Store, clock: Clock) -> None:
    """The message and its date both lie beyond the planned time."""
    await begin(store, clock, "2030-05-02 12:00")
    await create(store, "1990-06-02")
    await announce(store, utc("2030-05-04 12:00"))
    await change(store, offset_days=-30)
    await change(store, offset_days=60)
    assert await instants(store) == [utc("2030-08-01 09:00")]

    await change(store, offset_days=0)

    assert await instants(store) == [utc("2030-06-02 09:00")]


async def test_two_changes_before_planning_again_miss_no_user(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-02 12:00")
    await create(store, "1990-05-04")
    await announce(store, utc("2030-05-04 12:00"))

    await change(store, replanned=False, offset_days=40)
    await change(store, replanned=False, offset_days=-1)
    await write(store, None)

    assert await instants(store) == [utc("2030-05-03 09:00")]


async def test_a_greeting_crosses_new_year_once(store: Store, clock: Clock) -> None:
    """The local year is that of the date, so a change across New Year greets no user twice."""
    await begin(store, clock, "2029-12-30 12:00")
    await create(store, "1990-01-01")
    await announce(store, utc("2030-01-01 12:00"))
    assert await instants(store) == [utc("2030-01-01 09:00")]

    await change(store, offset_days=-1)
    assert await instants(store) == [utc("2029-12-31 09:00")]
    await store.fetch("update messages set status = 'sent', attempt = 1, ended_at = business_now()")
    await change(store, offset_days=0)
    await announce(store, utc("2030-01-03 00:00"))

    rows = await store.fetch("select local_year, status from messages")
    assert [tuple(row) for row in rows] == [(2030, "sent")]


async def test_an_inactive_occasion_cancels_what_is_unsent_and_plans_nothing(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-02 12:00")
    await create(store, "1990-05-03")
    await create(store, "1990-05-05")
    await announce(store, utc("2030-05-04 12:00"))

    await change(store, active=False)
    await announce(store, utc("2030-05-06 12:00"))
    await create(store, "1990-05-04")

    assert await reasons(store) == [("cancelled", "the occasion is not active")]


async def test_active_again_it_greets_from_then_on_and_no_user_twice(store: Store, clock: Clock) -> None:
    """Messages that came due while it was inactive stay unsent."""
    await begin(store, clock, "2030-05-02 12:00")
    for day in ("1990-05-02", "1990-05-03", "1990-05-04", "1990-05-05"):
        await create(store, day)
    await announce(store, utc("2030-05-04 12:00"))
    await store.fetch(
        "update messages set status = 'sent', attempt = 1, ended_at = business_now() where send_at < $1",
        utc("2030-05-04 00:00"),
    )
    await change(store, active=False)
    await clock.set(utc("2030-05-05 08:00"))
    await announce(store, utc("2030-05-07 08:00"))

    await change(store, active=True)

    rows = await store.fetch("select send_at, status from messages order by send_at")
    assert [tuple(row) for row in rows] == [
        (utc("2030-05-03 09:00"), "sent"),
        (utc("2030-05-04 09:00"), "cancelled"),
        (utc("2030-05-05 09:00"), "scheduled"),
    ]


async def test_a_date_that_moves_while_the_occasion_is_inactive_is_greeted_later(store: Store, clock: Clock) -> None:
    """The cancelled message is the only one of its year, so planning schedules it again."""
    await begin(store, clock, "2030-05-02 12:00")
    await create(store, "1990-05-03")
    await announce(store, utc("2030-05-04 12:00"))
    await change(store, active=False)
    (user,) = await store.fetch("select id from users")
    rules = await store.planning.rules()
    async with store.users.editing(user["id"], version=None) as editing:
        after = replace(editing.user.profile, dates={"birthday": date(1990, 6, 1)})
        await editing.store(after, desired_messages(rules, after.dates, "UTC", now=editing.now))
    await change(store, active=True)
    assert await instants(store) == []

    await clock.set(utc("2030-05-31 12:00"))
    await announce(store, utc("2030-06-02 12:00"))

    assert await instants(store) == [utc("2030-06-01 09:00")]


async def test_a_date_that_moves_before_an_inactive_occasion_is_planned_again(store: Store, clock: Clock) -> None:
    """Planning looks for the users of a day, and would not find this one. Its message stayed queued for two days."""
    await begin(store, clock, "2030-05-02 08:00")
    await create(store, "1990-05-02")
    await announce(store, utc("2030-05-04 08:00"))
    await clock.set(utc("2030-05-02 09:00"))
    assert len(await queue(store)) == 1
    await change(store, replanned=False, active=False)
    (user,) = await store.fetch("select id from users")
    rules = await store.planning.rules()
    async with store.users.editing(user["id"], version=None) as editing:
        after = replace(editing.user.profile, dates={"birthday": date(1990, 12, 30)})
        await editing.store(after, desired_messages(rules, after.dates, "UTC", now=editing.now))
    await write(store, None)

    assert await reasons(store) == [("cancelled", "the occasion is not active")]


async def test_nothing_is_handed_out_between_a_change_and_its_planning(store: Store, clock: Clock) -> None:
    """Nodes notice a change within seconds. Until then messages have the old instants."""
    await begin(store, clock, "2030-05-02 08:00")
    await create(store, "1990-05-02")
    await announce(store, utc("2030-05-04 08:00"))
    await clock.set(utc("2030-05-02 09:00"))
    await change(store, replanned=False, offset_days=1)

    assert await queue(store) == []
    await write(store, None)

    assert await queue(store) == []
    assert await instants(store) == [utc("2030-05-03 09:00")]


async def test_what_is_queued_for_an_inactive_occasion_is_not_sent(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-02 08:00")
    await create(store, "1990-05-02")
    await announce(store, utc("2030-05-04 08:00"))
    await clock.set(utc("2030-05-02 09:00"))
    ids = await queue(store)
    assert len(ids) == 1

    await change(store, replanned=False, active=False)
    assert await store.messages.claim_for_sending(ids, incarnation=1) == []
    await write(store, None)

    assert await reasons(store) == [("cancelled", "the occasion is not active")]
    await store.fetch("update messages set status = 'expired'")
    assert await store.messages.redrive(ids, by=OPERATOR) == []


async def test_a_change_of_a_text_reaches_what_is_queued(store: Store, clock: Clock) -> None:
    """The text is read when a message is claimed, and its version is kept with the message."""
    await begin(store, clock, "2030-05-02 08:00")
    await create(store, "1990-05-02")
    await announce(store, utc("2030-05-04 08:00"))
    await clock.set(utc("2030-05-02 09:00"))
    ids = await queue(store)

    await change(store, replanned=False, default=Text("Hooray", "{full_name}: {years}", "Hey, {first_name}"))
    (claimed,) = await store.messages.claim_for_sending(ids, incarnation=1)

    assert (claimed.template, claimed.subject, claimed.years) == ("{full_name}: {years}", "Hooray", 40)
    assert await store.database.value("select text_version from messages") == 2


@pytest.mark.parametrize(
    ("locale", "day", "template", "years"),
    [
        (None, date(1990, 5, 2), "Hey", None),
        ("fr", date(1990, 5, 2), "Hey", None),
        ("de", date(1990, 5, 2), "Hallo, {years}", 40),
        ("de-CH", MonthDay(5, 2), "Hallo", None),
        ("de-AT-1996", date(1990, 5, 2), "Servus", None),
        ("den", date(1990, 5, 2), "Hey", None),
    ],
)
async def test_the_text_is_that_of_the_users_language(
    store: Store, clock: Clock, locale: str | None, day: date | MonthDay, template: str, years: int | None
) -> None:
    await begin(store, clock, "2030-05-02 08:00")
    await change(
        store,
        default=Text("Hello", "Hey"),
        texts={"de": Text(None, "Hallo, {years}", "Hallo"), "de-AT": Text("Griass di", "Servus")},
    )
    who = replace(profile(date(1990, 5, 2)), dates={"birthday": day}, locale=locale)
    rules = await store.planning.rules()
    await store.users.create(who, desired_messages(rules, who.dates, "UTC", now=utc("2030-05-02 08:00")))
    await announce(store, utc("2030-05-04 08:00"))
    await clock.set(utc("2030-05-02 09:00"))

    (claimed,) = await store.messages.claim_for_sending(await queue(store), incarnation=1)

    assert (claimed.template, claimed.years) == (template, years)
    assert claimed.subject == ("Griass di" if template == "Servus" else "Hello")


async def test_only_the_changed_occasion_is_planned_again(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-02 12:00")
    await announce(store, utc("2030-05-04 12:00"))
    await change(store, replanned=False, weekend=Weekend.AFTER)
    state = await store.planning.rules_state()

    await store.planning.change_rules(state.version, None, incarnation=1)

    rows = await store.fetch("select distinct occasion from plan_ranges where replans")
    assert [row["occasion"] for row in rows] == ["birthday"]
    await plan_all(store)


async def test_a_version_that_is_not_the_present_one_changes_nothing(store: Store) -> None:
    occasions = PostgresOccasions(store.database)
    entry = await occasions.get("birthday")
    assert entry is not None

    with pytest.raises(OccasionChanged):
        await occasions.put(replace(entry.occasion, offset_days=1), version=entry.version + 1, by=OPERATOR)
    with pytest.raises(OccasionChanged):
        await occasions.delete("birthday", version=entry.version + 1, by=OPERATOR)


async def test_of_two_created_at_once_the_one_above_the_limit_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are counted while no other occasion can be written."""
    monkeypatch.setattr("service.adapters.postgres.occasions.MOST_OCCASIONS", 3)
    occasions = PostgresOccasions(store.database)

    results = await asyncio.gather(
        *(occasions.put(Occasion(code, Text("A day", "Hey")), by=OPERATOR) for code in ("eve", "name_day")),
        return_exceptions=True,
    )

    assert [type(one) for one in results].count(TooManyOccasions) == 1
    assert len(await occasions.all()) == 3


async def test_one_with_dates_or_messages_is_in_use(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-02 08:00")
    await create(store, "1990-05-02")
    await announce(store, utc("2030-05-04 08:00"))
    occasions = PostgresOccasions(store.database)

    for _ in range(2):  # with dates, then with messages alone
        with pytest.raises(OccasionInUse):
            await occasions.delete("birthday", by=OPERATOR)
        await store.fetch("delete from occasion_dates")
    assert await occasions.delete("anniversary", by=OPERATOR)
    assert not await occasions.delete("anniversary", by=OPERATOR)


async def test_a_preview_says_that_an_occasion_is_not_active(store: Store, clock: Clock) -> None:
    await begin(store, clock, "2030-05-02 12:00")
    await create(store, "1990-05-03")
    await announce(store, utc("2030-05-04 12:00"))
    await change(store, active=False)
    (user,) = await store.fetch("select id from users")
    previews = PostgresPreviews(store.database, late_limit=LATE_LIMIT)
    rules, planned = await store.planning.rules(), await store.planning.planned()

    preview = Preview(previews, rules, planned, late_limit=LATE_LIMIT)
    found = await preview.page(Scope(utc("2030-05-02 00:00"), utc("2030-05-05 00:00")), after=None, limit=10)
    history = PostgresHistory(store.database)
    explanation = await explain(previews, history, rules, planned, user["id"], late_limit=LATE_LIMIT)

    assert [one.left_out for one in found.items] == [LeftOut.INACTIVE]
    assert explanation is not None
    of_birthday = [one for one in explanation.days if one.verdict.occasion == "birthday"]
    assert {one.verdict.left_out for one in of_birthday} == {LeftOut.INACTIVE}
    assert "not active" in of_birthday[0].why


async def test_the_years_up_to_that_of_the_date_itself_are_explained_by_one_sentence(
    store: Store, clock: Clock
) -> None:
    """One sentence must be true for the year of the date and for the year before it."""
    await begin(store, clock, "2030-05-01 00:00")
    who = replace(profile(date(1990, 1, 1)), dates={"birthday": date(2030, 4, 30)})
    await store.users.create(who, [])
    (user,) = await store.fetch("select id from users")
    previews = PostgresPreviews(store.database, late_limit=LATE_LIMIT)
    rules, planned = await store.planning.rules(), await store.planning.planned()

    history = PostgresHistory(store.database)
    explanation = await explain(previews, history, rules, planned, user["id"], late_limit=LATE_LIMIT)

    assert explanation is not None
    of_birthday = {one.verdict.local_year: one.why for one in explanation.days if one.verdict.occasion == "birthday"}
    assert of_birthday[2029] == of_birthday[2030] == "The first greeting is that of the year after the date itself."


async def test_writers_of_occasions_and_planning_do_not_deadlock(store: Store, clock: Clock) -> None:
    """Both lock the row of planning and rows of occasions."""
    await begin(store, clock, "2030-05-02 08:00")
    await announce(store, utc("2030-05-04 08:00"))
    occasions = PostgresOccasions(store.database)

    async def put(number: int) -> None:
        await occasions.put(Occasion("eve", Text("Hi", f"Hey {number}"), offset_days=number % 9), by=OPERATOR)

    async def replan() -> None:
        state = await store.planning.rules_state()
        await store.planning.change_rules(state.version, None, incarnation=1)

    async def delete() -> None:
        await occasions.delete("eve", by=OPERATOR)

    for number in range(8):
        await asyncio.gather(put(number), replan(), delete(), put(number + 1), replan())


@pytest.mark.parametrize(
    ("send_at", "leap_day", "weekend"),
    [("24:00", None, "keep"), ("09:00:00.5", None, "keep"), (None, "jan1", "keep"), (None, None, "nearest")],
)
async def test_an_occasion_that_is_not_understood_hides_no_other_and_can_be_corrected(
    store: Store, send_at: str | None, leap_day: str | None, weekend: str
) -> None:
    """No trigger saw the row, or a later version wrote it: after a rollback, each list of occasions failed."""
    await store.fetch("alter table occasions drop constraint occasions_weekend_check")
    await store.fetch("alter table occasions drop constraint occasions_leap_day_check")
    await store.fetch("alter table occasions disable trigger occasions_checked")
    await store.fetch(
        "insert into occasions (code, template, send_at, leap_day, weekend)"
        " values ('eve', 'Hi {first_name}', $1::text::time, $2, $3)",
        send_at,
        leap_day,
        weekend,
    )
    await store.fetch("alter table occasions enable trigger occasions_checked")
    occasions = PostgresOccasions(store.database)

    assert [entry.occasion.code for entry in await occasions.all()] == ["anniversary", "birthday"]
    assert await occasions.get("eve") is None

    corrected = Occasion("eve", Text("Tonight", "Hi {first_name}"), send_at=time(23))
    entry, created = await occasions.put(corrected, by=OPERATOR)
    assert (entry.occasion, created) == (corrected, False)
    assert await occasions.delete("eve", by=OPERATOR)
