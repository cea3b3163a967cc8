"""An edit of zone or dates moves, cancels or makes this year's messages in the transaction of the user's row.

Each case: a user is created on 1 March 2027, the clock is moved, the user is edited, and the messages of 2027 are
checked. Planning is announced for the whole year, so all messages exist from the start.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from service.adapters.postgres.queries import load
from service.domain.calendar import occurrence
from tests.conftest import Clock
from tests.service.api.conftest import Api, Serve, a_user

USERS = "/api/v1/users"
MADE_AT = datetime(2027, 3, 1, tzinfo=UTC)
UP_TO = datetime(2027, 12, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """`at` is the time of the edit, `state` that of the message by then, `expected` its status, sendAt and dueAt."""

    before: dict[str, Any]
    at: str
    edit: dict[str, Any]
    expected: tuple[str, str, str] | None
    state: str = "scheduled"


def born(day: str, zone: str) -> dict[str, Any]:
    return {"birthdayDate": f"1990-{day}", "timezone": zone}


LONDON = born("03-10", "Europe/London")

CASES = {
    "west, before the instant: later the same day": Case(
        LONDON, "03-10T08:00", {"timezone": "Pacific/Honolulu"}, ("scheduled", "03-10T19:00", "03-10T19:00")
    ),
    "west, after the instant, not sent yet": Case(
        LONDON, "03-10T12:00", {"timezone": "Pacific/Honolulu"}, ("scheduled", "03-10T19:00", "03-10T19:00"), "queued"
    ),
    "west while it is retried": Case(
        LONDON, "03-10T12:00", {"timezone": "Pacific/Honolulu"}, ("scheduled", "03-10T19:00", "03-10T19:00"), "retrying"
    ),
    "east into the past: at once": Case(
        LONDON, "03-10T08:00", {"timezone": "Asia/Tokyo"}, ("scheduled", "03-10T00:00", "03-10T08:00")
    ),
    "over the date line to the east: at once": Case(
        born("03-10", "Pacific/Pago_Pago"),
        "03-09T20:00",
        {"timezone": "Pacific/Kiritimati"},
        ("scheduled", "03-09T19:00", "03-09T20:00"),
    ),
    "over the date line to the west: a day later": Case(
        born("03-10", "Pacific/Kiritimati"),
        "03-09T18:00",
        {"timezone": "Pacific/Pago_Pago"},
        ("scheduled", "03-10T20:00", "03-10T20:00"),
    ),
    "sent already: nothing moves": Case(
        LONDON, "03-10T12:00", {"timezone": "Pacific/Honolulu"}, ("sent", "03-10T09:00", "03-10T09:00"), "sent"
    ),
    "being sent: it finishes and counts": Case(
        LONDON, "03-10T09:00", {"timezone": "Pacific/Honolulu"}, ("sending", "03-10T09:00", "03-10T09:00"), "sending"
    ),
    "to today, 09:00 ahead": Case(
        born("05-05", "Europe/London"), "03-10T08:00", {"birthdayDate": "1990-03-10"},
        ("scheduled", "03-10T09:00", "03-10T09:00"),
    ),
    "to today, 09:00 over: at once": Case(
        born("05-05", "Europe/London"), "03-10T12:00", {"birthdayDate": "1990-03-10"},
        ("scheduled", "03-10T09:00", "03-10T12:00"),
    ),
    "to yesterday, from none: at once": Case(
        {}, "03-10T12:00", {"birthdayDate": "1990-03-09"}, ("scheduled", "03-09T09:00", "03-10T12:00")
    ),
    "to last week, from none: too late this year": Case({}, "03-20T12:00", {"birthdayDate": "1990-03-09"}, None),
    "to before the user was there: not this year": Case(
        born("05-05", "Europe/London"), "03-02T12:00", {"birthdayDate": "1990-02-28"},
        ("cancelled", "02-28T09:00", "03-02T12:00"),
    ),
    "to 29 February: 28 February, before the user was there": Case(
        {}, "03-02T12:00", {"birthdayDate": "1992-02-29"}, None
    ),
    "removed": Case(LONDON, "03-10T08:00", {"birthdayDate": None}, ("cancelled", "03-10T09:00", "03-10T09:00")),
    "removed after the greeting: it stays sent": Case(
        LONDON, "03-10T12:00", {"birthdayDate": None}, ("sent", "03-10T09:00", "03-10T09:00"), "sent"
    ),
    "to another day after the greeting: not again this year": Case(
        LONDON, "03-10T12:00", {"birthdayDate": "1990-03-11"}, ("sent", "03-10T09:00", "03-10T09:00"), "sent"
    ),
    "another year of birth: nothing moves": Case(
        LONDON, "03-10T08:00", {"birthdayDate": "1991-03-10"}, ("queued", "03-10T09:00", "03-10T09:00"), "queued"
    ),
    "another name: nothing moves": Case(
        LONDON, "03-10T09:30", {"firstName": "Augusta"}, ("queued", "03-10T09:00", "03-10T09:00"), "queued"
    ),
}  # fmt: skip

_WAITS = "select true from pg_locks where pid = $1 and not granted"

_STATE = """-- state
update messages set status = $2::text, ended_at = case when $2 = 'sent' then send_at end,
    attempt = case when $2 in ('sending', 'sent', 'retrying') then 1 else 0 end,
    queued_at = send_at, queued_by = 1, claimed_by = case when $2 = 'sending' then 1 end
where user_id = $1 and local_year = 2027"""


def instant(text: str) -> datetime:
    return datetime.fromisoformat(f"2027-{text}:00+00:00")


async def messages(api: Api, user_id: str) -> list[dict[str, Any]]:
    _, page = await api.call("GET", f"{USERS}/{user_id}/messages")
    return [item for item in page["items"] if item["localYear"] == 2027]


async def start(serve: Serve, clock: Clock, at: datetime = MADE_AT) -> Api:
    await clock.set(at)
    api = await serve()
    await api.database.fetch("-- announce\nupdate planning set planned_until = $1", UP_TO)
    await api.database.fetch("-- year\nselect ensure_year(year) from generate_series(2026, 2028) as year")
    return api


async def move(api: Api, clock: Clock, at: datetime) -> None:
    await clock.set(at)
    await api.read_clock()


async def test_an_edit_moves_cancels_or_makes_this_years_message(serve: Serve, clock: Clock) -> None:
    """An earlier system cancelled the old row, collided with its key, and reported success."""
    api = await start(serve, clock)
    await clock.rate(0)
    found: dict[str, object] = {}

    for name, case in CASES.items():
        await move(api, clock, MADE_AT)
        user = await api.create(**{"timezone": "Europe/London", **case.before})
        await move(api, clock, instant(case.at))
        if case.state != "scheduled":
            await api.database.fetch(_STATE, user["id"], case.state)
        status, answer = await api.call("PATCH", f"{USERS}/{user['id']}", json=case.edit)
        assert status == 200, answer
        found[name] = [(m["status"], m["sendAt"], m["dueAt"]) for m in await messages(api, user["id"])]

    def shown(text: str) -> str:
        return f"2027-{text}:00Z"

    assert found == {
        name: [] if case.expected is None else [(case.expected[0], *map(shown, case.expected[1:]))]
        for name, case in CASES.items()
    }


async def test_a_date_removed_and_put_back_is_greeted_once(serve: Serve, clock: Clock) -> None:
    """The same row is revived, because there is one per user, occasion and year."""
    api = await start(serve, clock)
    user = await api.create(**LONDON)
    path = f"{USERS}/{user['id']}"

    await api.call("PATCH", path, json={"birthdayDate": None})
    removed = await messages(api, user["id"])
    await api.call("PATCH", path, json={"birthdayDate": "1990-03-11"})
    back = await messages(api, user["id"])

    assert [m["status"] for m in removed] == ["cancelled"]
    assert [(m["status"], m["sendAt"], m["id"]) for m in back] == [
        ("scheduled", "2027-03-11T09:00:00Z", removed[0]["id"])
    ]


async def test_who_signs_up_after_nine_waits_for_next_year(serve: Serve, clock: Clock) -> None:
    """The exception is a move to a zone where it is before 09:00."""
    api = await start(serve, clock, instant("03-10T12:00"))
    user = await api.create(**LONDON)

    at_first = await messages(api, user["id"])
    await api.call("PATCH", f"{USERS}/{user['id']}", json={"timezone": "Pacific/Honolulu"})
    moved = await messages(api, user["id"])

    assert at_first == []
    assert [(m["status"], m["sendAt"]) for m in moved] == [("scheduled", "2027-03-10T19:00:00Z")]


async def test_who_signs_up_before_nine_is_greeted_today(serve: Serve, clock: Clock) -> None:
    """An earlier system selected the users of a day at midnight."""
    api = await start(serve, clock, instant("03-10T08:59"))

    user = await api.create(**LONDON)

    assert [m["sendAt"] for m in await messages(api, user["id"])] == ["2027-03-10T09:00:00Z"]


async def test_deleting_cancels_and_coming_back_is_a_new_user(serve: Serve, clock: Clock) -> None:
    """An earlier system greeted deleted users."""
    api = await start(serve, clock)
    user = await api.create(**LONDON, email="back@example.com", anniversaryDate="2020-04-04")

    await api.call("DELETE", f"{USERS}/{user['id']}")
    again = await api.create(**LONDON, email="BACK@example.com")

    assert {m["status"] for m in await messages(api, user["id"])} == {"cancelled"}
    assert [m["status"] for m in await messages(api, again["id"])] == ["scheduled"]


@pytest.mark.usefixtures("patient")
async def test_fifty_clients_that_change_one_user_leave_matching_messages(serve: Serve, clock: Clock) -> None:
    """Without If-Match the last one wins, and the message matches its row."""
    api = await start(serve, clock)
    user = await api.create(**LONDON)
    path = f"{USERS}/{user['id']}"
    zones = ["Asia/Tokyo", "Pacific/Honolulu", "Europe/London", "America/New_York", "Pacific/Kiritimati"]
    chosen = random.Random(7)
    documents = [
        a_user(
            email=user["email"], timezone=chosen.choice(zones), birthdayDate=f"1990-0{chosen.randint(4, 9)}-10",
            anniversaryDate=chosen.choice([None, "2001-06-06"]),
        )
        for _ in range(50)
    ]  # fmt: skip

    answers = await asyncio.gather(*(api.call("PUT", path, json=document) for document in documents))

    _, last = await api.call("GET", path)
    found = {m["occasion"]: m for m in await messages(api, user["id"]) if m["status"] != "cancelled"}
    dates = {"birthday": last["birthdayDate"], "anniversary": last["anniversaryDate"]}
    expected = {
        occasion: occurrence(datetime.fromisoformat(day).date(), last["timezone"], 2027).send_at
        for occasion, day in dates.items()
        if day is not None
    }
    assert {status for status, _ in answers} == {200}
    assert {name: datetime.fromisoformat(m["sendAt"]) for name, m in found.items()} == expected


@pytest.mark.usefixtures("patient")
async def test_with_if_match_one_of_fifty_wins(api: Api) -> None:
    """The others get an error and change nothing."""
    user = await api.create()
    path = f"{USERS}/{user['id']}"

    answers = await asyncio.gather(
        *(api.call("PATCH", path, json={"firstName": f"Ada {n}"}, headers={"If-Match": '"1"'}) for n in range(50))
    )

    assert sorted(status for status, _ in answers) == [200] + [412] * 49


async def test_a_birthday_is_judged_by_the_date_where_the_user_is(serve: Serve, clock: Clock) -> None:
    """At 11:00 UTC it is tomorrow in Kiritimati."""
    api = await start(serve, clock, instant("03-10T11:00"))

    there, _ = await api.call("POST", USERS, json=a_user(timezone="Pacific/Kiritimati", birthdayDate="2027-03-11"))
    here, _ = await api.call("POST", USERS, json=a_user(timezone="Europe/London", birthdayDate="2027-03-11"))

    assert (there, here) == (201, 422)


async def test_a_message_moved_too_far_into_the_past_expires(serve: Serve, clock: Clock) -> None:
    """The ticker counts and lists it, so it is not lost silently."""
    api = await start(serve, clock)
    user = await api.create(**born("03-25", "Europe/London"))
    await move(api, clock, instant("03-20T12:00"))

    await api.call("PATCH", f"{USERS}/{user['id']}", json={"birthdayDate": "1990-03-10"})
    await api.dependencies.ports.messages.claim_due(fence=1, incarnation=1, limit=10, late_limit=timedelta(hours=48))

    assert [m["status"] for m in await messages(api, user["id"])] == ["expired"]


async def test_a_planner_and_an_edit_of_one_user_take_turns(api: Api, database: str) -> None:
    """Both lock the user before the date. In different orders they would deadlock."""
    user = await api.create(**LONDON)
    day = ('{"Europe/London": "2027-03-10T09:00Z"}', "2026f")
    plan_range = load("planning.sql").plan_range
    edit, plan = await asyncpg.connect(database), await asyncpg.connect(database)
    try:
        async with edit.transaction(), plan.transaction():
            await edit.execute("select 1 from users where id = $1 for update", user["id"])
            planning = asyncio.create_task(plan.execute(plan_range, "birthday", 2027, 310, None, None, *day))
            pid = plan.get_server_pid()
            while not await edit.fetchval(_WAITS, pid):  # noqa: ASYNC110 - the server tells no other way
                await asyncio.sleep(0)
            await edit.execute("update occasion_dates set date = '1990-03-11' where user_id = $1", user["id"])
            await edit.execute("commit")
            await planning
            made = await plan.fetchval("select count(*) from messages")
            await edit.execute("begin")
    finally:
        await edit.close()
        await plan.close()

    assert made == 0
