"""Previews, forecasts and explanations over HTTP: pages, filters, refusals and content."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from service.settings import Rate
from tests.conftest import Clock
from tests.service.api.conftest import Api, Serve

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)
TOMORROW = {"from": "2027-03-11T00:00:00Z", "to": "2027-03-12T00:00:00Z"}


async def at_noon(serve: Serve, clock: Clock, settings: dict[str, Any] | None = None) -> Api:
    """The API of a service that has planned everything up to noon."""
    await clock.set(NOON)
    api = await serve(settings)
    await api.database.fetch("-- announce\nupdate planning set planned_until = $1", NOON)
    await api.database.fetch("-- year\nselect ensure_year(2027)")
    return api


async def preview(api: Api, **query: str) -> list[dict[str, Any]]:
    """Return all items of all pages."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        given = {**TOMORROW, **query, **({"cursor": cursor} if cursor else {})}
        status, page = await api.call("GET", f"/api/v1/preview?{urlencode(given)}")
        assert status == 200, page
        assert len(page["items"]) <= int(query.get("limit", 50))
        items += page["items"]
        cursor = page["nextCursor"]
        if cursor is None:
            return items


async def test_a_preview_says_who_gets_what_when(serve: Serve, clock: Clock) -> None:
    """A preview plans nothing."""
    api = await at_noon(serve, clock)
    ada = await api.create(birthdayDate="1990-03-11", timezone="Asia/Tokyo")
    await api.create(birthdayDate="1990-03-12", timezone="Europe/London")

    items = await preview(api)

    assert items == [
        {
            "userId": ada["id"],
            "occasion": "birthday",
            "localYear": 2027,
            "timezone": "Asia/Tokyo",
            "sendAt": "2027-03-11T00:00:00Z",
            "rule": "exact",
            "status": "expected",
            "leftOut": None,
            "messageId": None,
            "held": None,
            "name": "Ada Lovelace",
            "email": ada["email"],
            "text": "Hey, Ada Lovelace it's your birthday",
        }
    ]
    assert await api.database.value("-- none\nselect count(*) from messages") == 0


async def test_pages_of_any_size_say_the_same(serve: Serve, clock: Clock) -> None:
    """Pages never repeat or skip a user, within a day or between days."""
    api = await at_noon(serve, clock)
    for day in (9, 10, 11, 12):
        for zone in ("Pacific/Kiritimati", "Pacific/Niue", "UTC"):
            await api.create(birthdayDate=f"1990-03-{day:02}", anniversaryDate="2010-03-11", timezone=zone)
    wide = {"from": "2027-03-05T13:45:00Z", "to": "2027-06-25T12:00:00Z"}

    whole = await preview(api, **wide)

    assert len(whole) == 24
    for limit in ("1", "5", "500"):
        assert await preview(api, **wide, limit=limit) == whole
    user = whole[3]["userId"]
    of_user = [item for item in whole if item["userId"] == user]
    for limit in ("1", "50"):
        found = await preview(api, **wide, userId=user, limit=limit)
        assert sorted(found, key=str) == sorted(of_user, key=str)
    assert await preview(api, **wide, occasion="anniversary") == [i for i in whole if i["occasion"] == "anniversary"]


async def test_who_has_no_date_or_is_deleted_is_said_when_asked_for(serve: Serve, clock: Clock) -> None:
    """They belong to no window, and a list of all deleted users would hide the others."""
    api = await at_noon(serve, clock)
    nobody = await api.create()
    gone = await api.create(birthdayDate="1990-03-11")
    await api.call("DELETE", f"/api/v1/users/{gone['id']}")

    everybody = await preview(api)
    deleted = await preview(api, deleted="true")
    without_date = await preview(api, userId=nobody["id"])
    leaver = await preview(api, userId=gone["id"], occasion="birthday")

    assert everybody == []
    assert [(item["userId"], item["leftOut"], item["status"]) for item in deleted] == [(gone["id"], "deleted", None)]
    assert leaver == deleted
    assert [(item["occasion"], item["localYear"], item["leftOut"]) for item in without_date] == [
        ("anniversary", None, "no_date"),
        ("birthday", None, "no_date"),
    ]
    assert await preview(api, userId="01936f3a-7c1e-7b52-9d3e-2a4f6c8e0b11") == []


async def test_a_window_lists_the_users_of_an_inactive_occasion(serve: Serve, clock: Clock) -> None:
    """The window says why they are not greeted, as the preview of one user does, and the forecast counts none."""
    api = await at_noon(serve, clock)
    await api.call("PATCH", "/api/v1/occasions/birthday", json={"active": False})
    ada = await api.create(birthdayDate="1990-03-11", anniversaryDate="2010-03-11")

    items = await preview(api)

    assert [(item["occasion"], item["status"], item["leftOut"]) for item in items] == [
        ("anniversary", "expected", None),
        ("birthday", None, "inactive"),
    ]
    assert await preview(api, userId=ada["id"]) == items
    assert await preview(api, occasion="birthday") == items[1:]
    _, forecast = await api.call("GET", "/api/v1/forecast")
    assert forecast["total"] == 1


async def test_a_user_who_was_greeted_and_moves_is_greeted_once(serve: Serve, clock: Clock) -> None:
    """One window shows the message, and the other the reason why there is no second one."""
    api = await at_noon(serve, clock)
    await api.database.fetch("-- announce\nupdate planning set planned_until = $1", NOON + timedelta(days=2))
    ada = await api.create(birthdayDate="1990-03-11", timezone="Asia/Tokyo")
    await clock.set(NOON + timedelta(hours=12))
    await api.read_clock()
    await api.database.fetch("-- sent\nupdate messages set status = 'sent', attempt = 1, ended_at = business_now()")
    await api.call("PATCH", f"/api/v1/users/{ada['id']}", json={"timezone": "America/New_York"})

    [morning] = await preview(api, to="2027-03-11T06:00:00Z")
    [afternoon] = await preview(api, **{"from": "2027-03-11T06:00:00Z"})
    whole = await preview(api)

    assert (morning["sendAt"], morning["status"], morning["leftOut"]) == ("2027-03-11T00:00:00Z", "sent", None)
    assert (morning["timezone"], morning["rule"]) == ("Asia/Tokyo", None)
    assert (afternoon["sendAt"], afternoon["status"]) == ("2027-03-11T14:00:00Z", "sent")
    assert (afternoon["leftOut"], afternoon["messageId"]) == ("already_greeted", morning["messageId"])
    assert whole == [morning]


async def test_an_occasion_that_is_not_understood_hides_no_other(serve: Serve, clock: Clock) -> None:
    """It takes no part in the answers about a user, who has other days."""
    api = await at_noon(serve, clock)
    await api.database.fetch("-- new\ninsert into occasions (code, template) values ('eve', 'Hey')")
    ada = await api.create(birthdayDate="1990-03-11", eveDate="1990-03-11")
    await api.database.fetch("-- off\nalter table occasions disable trigger occasions_checked")
    await api.database.fetch("-- wrong\nupdate occasions set send_at = '24:00' where code = 'eve'")
    api = await serve()

    found = await preview(api, userId=ada["id"])
    status, explained = await api.call("GET", f"/api/v1/users/{ada['id']}/explanation")

    assert [(item["occasion"], item["status"]) for item in found if item["leftOut"] is None] == [
        ("birthday", "expected")
    ]
    assert status == 200, explained
    assert {one["occasion"] for one in explained["days"]} == {"birthday", "anniversary"}


async def test_an_explanation_promises_no_instant_on_which_nothing_would_be_sent(serve: Serve, clock: Clock) -> None:
    """The date of a user who was greeted may become one without a greeting in this year."""
    api = await at_noon(serve, clock)
    ada = await api.create(birthdayDate="1992-03-01")
    await api.database.fetch(
        "-- sent\ninsert into messages"
        " (user_id, occasion, local_year, timezone, send_at, due_at, tzdata, status, ended_at, attempt)"
        " select id, 'birthday', 2027, timezone, '2027-03-01T09:00Z', '2027-03-01T09:00Z', 'test', 'sent',"
        " '2027-03-01T09:00:02Z', 1 from users"
    )
    await api.database.fetch("-- skip\nupdate occasions set leap_day = 'skip' where code = 'birthday'")
    api = await serve()

    for date in ("2027-03-05", "1992-02-29"):
        await api.call("PATCH", f"/api/v1/users/{ada['id']}", json={"birthdayDate": date})
        _, explained = await api.call("GET", f"/api/v1/users/{ada['id']}/explanation")
        [this_year] = [one for one in explained["days"] if (one["occasion"], one["localYear"]) == ("birthday", 2027)]
        assert this_year["why"].endswith("By the user's date and zone of now there would be none in 2027.")


WRONG = [
    "from=2027-3-11", "from=2027-02-30", "to=2027-03-09",
    "from=2027-03-11T00:00:00Z&to=2027-03-11T00:00:00Z", "from=2027-03-12T00:00:00Z&to=2027-03-11T00:00:00Z",
    "from=2026-03-08T00:00:00Z&to=2027-03-11T00:00:00Z", "from=2027-03-08T00:00:00Z&to=2029-03-12T00:00:00Z",
    "from=0001-01-01T00:00:00Z&to=9999-12-31T00:00:00Z", "from=9999-12-31", "from=0001-01-01",
    "{w}&limit=0", "{w}&limit=501", "{w}&occasion=wedding", "{w}&userId=7", "{w}&deleted=1", "{w}&cursor=x",
    "{w}&cursor=AZNvOnwee1KdPipPbI4LEQ", "{w}&cursor=%C3%A9", "{w}&who=me",
    "{w}&cursor=MjAyNy0wMy0xMFQwMDowMDowMCswMDowMC8v",  # of another window
    "{w}&cursor=MjAyNy0wMy0xMVQwMDowMDowMCswMDowMC8vLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0tLS0t",
]  # fmt: skip


async def test_a_window_or_filter_that_is_wrong_is_refused(serve: Serve, clock: Clock) -> None:
    """A value out of range is not clamped, because the answer would look complete."""
    api = await at_noon(serve, clock)
    window = urlencode(TOMORROW)

    for query in WRONG:
        status, problem = await api.call("GET", f"/api/v1/preview?{query.format(w=window)}")

        assert (status, problem.get("type")) == (422, "/problems/invalid-query"), query
        assert problem["errors"], query
    _, problem = await api.call("GET", "/api/v1/preview?from=2026-02-30")
    assert problem["errors"][0]["message"].startswith("Expected a date, or an instant with its offset")


@pytest.mark.parametrize("hours", ["0", "169", "-1", "1.5", "x"])
async def test_a_forecast_beyond_its_reach_is_refused(api: Api, hours: str) -> None:
    """The limit is one week."""
    status, problem = await api.call("GET", f"/api/v1/forecast?hours={hours}")

    assert (status, problem["errors"][0]["field"]) == (422, "hours")


async def test_a_forecast_counts_by_the_minute_and_says_when_waves_are_over(serve: Serve, clock: Clock) -> None:
    """An operator sees tomorrow's wave, and whether the rate of the email service is sufficient."""
    api = await at_noon(serve, clock, {"email_rate": Rate(0.5)})
    for _ in range(3):
        await api.create(birthdayDate="1990-03-11", anniversaryDate="2010-03-11")
    await api.create(birthdayDate="1990-03-11", timezone="Asia/Tokyo")

    status, found = await api.call("GET", "/api/v1/forecast?hours=24")

    assert status == 200
    assert (found["until"], found["total"], found["backlog"]["total"]) == (found["until"], 7, 0)
    assert found["minutes"] == [
        {"at": "2027-03-11T00:00:00Z", "total": 1, "occasions": {"birthday": 1}},
        {"at": "2027-03-11T09:00:00Z", "total": 6, "occasions": {"anniversary": 3, "birthday": 3}},
    ]
    assert found["ratePerSecond"] == 0.5
    assert [(wave["overAt"], wave["peak"]) for wave in found["waves"]] == [
        ("2027-03-11T00:00:02Z", 1),
        ("2027-03-11T09:00:12Z", 6),
    ]


async def test_an_explanation_has_last_year_this_one_and_the_next(serve: Serve, clock: Clock) -> None:
    """Support needs these years to answer a user."""
    api = await at_noon(serve, clock)
    ada = await api.create(birthdayDate="1990-03-11", timezone="Europe/London")

    status, found = await api.call("GET", f"/api/v1/users/{ada['id']}/explanation")

    birthdays = [day for day in found["days"] if day["occasion"] == "birthday"]
    assert status == 200
    assert [(day["localYear"], day["status"], day["leftOut"]) for day in birthdays] == [
        (2026, None, "created_too_late"),
        (2027, "expected", None),
        (2028, "expected", None),
    ]
    assert birthdays[1]["why"] == (
        "There is no message yet: planning makes it, and it leaves at the instant (2027-03-11 09:00:00 in "
        "Europe/London)."
    )
    assert {day["leftOut"] for day in found["days"] if day["occasion"] == "anniversary"} == {"no_date"}


async def test_an_explanation_names_the_limit_that_a_due_message_waits_for(serve: Serve, clock: Clock) -> None:
    """The answer is that of `heyday explain`."""
    api = await at_noon(serve, clock)
    await api.database.fetch("-- ahead\nupdate planning set planned_until = $1", NOON + timedelta(days=2))
    ada = await api.create(birthdayDate="1990-03-11", timezone="Europe/London")
    await clock.rate(0)
    await clock.set(NOON)
    await api.call("PATCH", "/api/v1/limits", json={"emailRate": "20/s"})
    await clock.set(NOON + timedelta(hours=22))

    _, found = await api.call("GET", f"/api/v1/users/{ada['id']}/explanation")

    (why,) = [day["why"] for day in found["days"] if day["status"] == "scheduled"]
    assert why == (
        "The message has been due since 2027-03-11 09:00:00 in Europe/London, and no node has claimed it yet. By a "
        "limit of no key since 2027-03-10 12:00:00 in Europe/London, all nodes together begin at most 20/s calls."
    )


async def test_an_unknown_user_has_no_explanation(api: Api) -> None:
    """A deleted user has one."""
    status, problem = await api.call("GET", "/api/v1/users/01936f3a-7c1e-7b52-9d3e-2a4f6c8e0b11/explanation")

    assert (status, problem["type"]) == (404, "/problems/not-found")


async def test_a_preview_says_what_an_outage_would_have_cost(serve: Serve, clock: Clock) -> None:
    """Greetings are late within the limit and expired beyond it. Nothing is planned."""
    api = await at_noon(serve, clock)
    await api.create(birthdayDate="1990-03-11", timezone="UTC")
    await api.create(birthdayDate="1990-03-13", timezone="UTC")
    query = "asIfDownFrom=2027-03-11T00:00:00Z&asIfDownTo=2027-03-13T10:00:00Z"

    status, page = await api.call("GET", f"/api/v1/preview?{query}")

    assert status == 200, page
    assert [one["asIfDown"] for one in page["items"]] == [
        {"expired": True, "leavesAt": None, "lateSeconds": 49 * 3600},
        {"expired": False, "leavesAt": "2027-03-13T10:00:00Z", "lateSeconds": 3600},
    ]
    assert await api.database.value("-- none\nselect count(*) from messages") == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("asIfDownFrom=2027-03-11T00:00:00Z", "asIfDownTo"),
        ("asIfDownTo=2027-03-11T00:00:00Z", "asIfDownFrom"),
        ("asIfDownFrom=2027-03-11T00:00:00Z&asIfDownTo=2027-03-11T00:00:00Z", "asIfDownTo"),
    ],
)
async def test_half_a_window_is_refused(serve: Serve, clock: Clock, query: str, field: str) -> None:
    """The other end is not guessed."""
    api = await at_noon(serve, clock)
    status, problem = await api.call("GET", f"/api/v1/preview?{query}")

    assert status == 422
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_window_is_a_day_unless_it_is_given(serve: Serve, clock: Clock) -> None:
    """Dates are midnights in UTC, and the default is today."""
    api = await at_noon(serve, clock)
    for day in (10, 11, 12):
        await api.create(birthdayDate=f"1990-03-{day}", timezone="UTC", firstName=f"D{day}")

    async def names(**query: str) -> list[str]:
        status, page = await api.call("GET", "/api/v1/preview", params=query)
        assert status == 200, page
        return [item["name"].split()[0] for item in page["items"]]

    assert await names() == ["D10"]
    assert await names(**{"from": "2027-03-11"}) == ["D11"]
    assert await names(**{"from": "2027-03-11", "to": "2027-03-13"}) == ["D11", "D12"]
    assert await names(to="2027-03-12") == ["D10", "D11"]


async def test_an_erased_user_has_neither_name_nor_text(serve: Serve, clock: Clock) -> None:
    """The row shows that a user is left out, but not who."""
    api = await at_noon(serve, clock)
    user = await api.create(birthdayDate="--03-11", timezone="UTC")
    await api.database.fetch("-- far\nupdate planning set planned_until = business_now() + interval '40 days'")
    await api.call("PATCH", f"/api/v1/users/{user['id']}", json={"birthdayDate": "1990-03-11"})
    await api.call("DELETE", f"/api/v1/users/{user['id']}?erase=true")

    found = await preview(api, **{"from": "2027-03-11"})

    assert all((item["name"], item["email"], item["text"]) == (None, None, None) for item in found)
