"""Messages over HTTP: their history, and redrives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain.messages import Answer, Outcome, Status
from service.ports import Result
from tests.conftest import Clock
from tests.service.api.conftest import Api, Serve

MESSAGES = "/api/v1/messages"
NINE = datetime(2027, 3, 10, 9, tzinfo=UTC)


async def due(serve: Serve, clock: Clock, count: int) -> tuple[Api, list[dict[str, Any]]]:
    """Make users whose greetings are due now."""
    await clock.set(NINE - timedelta(days=3))
    api = await serve()
    await api.database.fetch("-- announce\nupdate planning set planned_until = $1", NINE + timedelta(days=1))
    await api.database.fetch("-- year\nselect ensure_year(2027)")
    users = [await api.create(birthdayDate="1990-03-10") for _ in range(count)]
    await clock.set(NINE)
    await api.read_clock()
    return api, users


async def send(api: Api, outcome: Outcome, status: Status, code: int | None) -> None:
    """Do the work of ticker, sender and result writer once."""
    node = await api.database.value("-- node\ninsert into nodes (node) values ('node-1') returning incarnation")
    messages = api.dependencies.ports.messages
    queued = await messages.claim_due(fence=1, incarnation=node, limit=100, late_limit=timedelta(hours=48))
    claimed = await messages.claim_for_sending(queued.queued, incarnation=node)
    answer = Answer(outcome, 0.25, code, None if code == 200 else "no luck", provider_id="provider-7")
    await messages.record([Result(one.claim, status, answer, 10.0) for one in claimed], at=10.5)


async def test_a_message_tells_its_whole_way(serve: Serve, clock: Clock) -> None:
    """The answer shows an operator why a user was not greeted: instants, nodes and status codes."""
    api, [user] = await due(serve, clock, 1)
    await send(api, Outcome.PERMANENT_FAILURE, Status.FAILED, 422)

    _, page = await api.call("GET", f"/api/v1/users/{user['id']}/messages")
    status, message = await api.call("GET", f"{MESSAGES}/{page['items'][0]['id']}")

    assert status == 200
    assert message["timeline"][0]["event"] == "planned"
    assert {"planned", "queued", "claimed", "attempt", "recorded", "failed"} == {
        event["event"] for event in message["timeline"]
    }
    attempt = next(event for event in message["timeline"] if event["event"] == "attempt")
    assert (attempt["number"], attempt["node"], attempt["outcome"]) == (1, "node-1", "permanent_failure")
    assert (attempt["statusCode"], attempt["durationSeconds"], attempt["error"]) == (422, 0.25, "no luck")
    assert attempt["providerId"] == "provider-7"
    instants = [event["at"] for event in message["timeline"]]
    assert instants == sorted(instants)


async def test_a_user_without_messages_differs_from_an_unknown_one(api: Api) -> None:
    """A typing error in an id must not look like a user without messages. Deleted users are still known."""
    user = await api.create()
    await api.call("DELETE", f"/api/v1/users/{user['id']}", params={"erase": "true"})

    erased = await api.call("GET", f"/api/v1/users/{user['id']}/messages")
    nobody, problem = await api.call("GET", "/api/v1/users/00000000-0000-0000-0000-000000000000/messages")

    assert erased == (200, {"items": [], "nextCursor": None, "total": 0})
    assert (nobody, problem["type"]) == (404, "/problems/not-found")


async def test_messages_are_found_by_status_occasion_and_instant(serve: Serve, clock: Clock) -> None:
    """`to` is exclusive, so that windows can follow one another."""
    api, _ = await due(serve, clock, 3)

    async def count(query: str) -> int:
        status, page = await api.call("GET", f"{MESSAGES}?{query}")
        assert status == 200, page
        return len(page["items"])

    assert await count("") == 3
    assert await count("status=scheduled&occasion=birthday") == 3
    assert await count("status=sent") == 0
    assert await count("occasion=anniversary") == 0
    assert await count("from=2027-03-10T09:00:00Z&to=2027-03-10T09:00:01Z") == 3
    assert await count("from=2027-03-10T10:00:00%2B01:00") == 3
    assert await count("to=2027-03-10T09:00:00Z") == 0
    assert await count("limit=2") == 2


WRONG_QUERIES = [
    "status=lost", "occasion=nothing", "from=yesterday", "from=2027-03-10", "to=2027-03-10T09:00:00", "limit=501",
    "from=9999-12-31T23:59:59-23:59", "stat=sent",
]  # fmt: skip


async def test_a_filter_that_is_wrong_is_refused(api: Api) -> None:
    """An ignored filter would return everything."""
    for query in WRONG_QUERIES:
        status, problem = await api.call("GET", f"{MESSAGES}?{query}")

        assert (status, problem.get("type")) == (422, "/problems/invalid-query"), query


async def test_a_failed_message_is_redriven_once(serve: Serve, clock: Clock) -> None:
    """It is due at once. A message on its way is not changed."""
    api, [user] = await due(serve, clock, 1)
    await send(api, Outcome.PERMANENT_FAILURE, Status.FAILED, 422)
    _, page = await api.call("GET", f"{MESSAGES}?status=failed")
    path = f"{MESSAGES}/{page['items'][0]['id']}"

    first = await api.call("POST", f"{path}:redrive")
    second, problem = await api.call("POST", f"{path}:redrive")

    assert first == (202, {"id": page["items"][0]["id"], "status": "scheduled"})
    assert (second, problem["type"]) == (409, "/problems/not-redrivable")
    assert (await api.call("GET", path))[1]["redrivenAt"] is not None
    assert user["id"] == (await api.call("GET", path))[1]["userId"]


async def test_a_message_of_an_inactive_occasion_is_refused_for_that(serve: Serve, clock: Clock) -> None:
    """The reason names what to change: the occasion, and not the message."""
    api, _ = await due(serve, clock, 1)
    await send(api, Outcome.PERMANENT_FAILURE, Status.FAILED, 422)
    _, page = await api.call("GET", f"{MESSAGES}?status=failed")
    await api.call("PATCH", "/api/v1/occasions/birthday", json={"active": False})

    status, problem = await api.call("POST", f"{MESSAGES}/{page['items'][0]['id']}:redrive")

    assert (status, problem["detail"]) == (409, "Its occasion is not active.")


async def test_a_dry_run_counts_and_the_real_one_does(serve: Serve, clock: Clock) -> None:
    """An operator checks the number first. Deleted users are left out."""
    api, users = await due(serve, clock, 5)
    await send(api, Outcome.PERMANENT_FAILURE, Status.FAILED, 422)
    await api.call("DELETE", f"/api/v1/users/{users[0]['id']}")
    fits = {"status": "failed", "occasion": "birthday", "from": "2027-03-10T00:00:00Z", "to": "2027-03-11T00:00:00Z"}

    dry = await api.call("POST", f"{MESSAGES}:redrive", json={**fits, "dryRun": True})
    untouched = len((await api.call("GET", f"{MESSAGES}?status=failed"))[1]["items"])
    real = await api.call("POST", f"{MESSAGES}:redrive", json=fits)
    again = await api.call("POST", f"{MESSAGES}:redrive", json=fits)

    assert dry == (202, {"dryRun": True, "matched": 4, "redriven": 0, "remaining": 4})
    assert untouched == 5
    assert real == (202, {"dryRun": False, "matched": 4, "redriven": 4, "remaining": 0})
    assert again == (202, {"dryRun": False, "matched": 0, "redriven": 0, "remaining": 0})


async def test_a_redrive_takes_the_filters_of_the_list_and_nothing_else(serve: Serve, clock: Clock) -> None:
    """A redrive sends exactly the messages that the list shows with the same filters."""
    api, users = await due(serve, clock, 5)
    await send(api, Outcome.PERMANENT_FAILURE, Status.FAILED, 422)
    _, page = await api.call("GET", MESSAGES)
    ids = [item["id"] for item in page["items"]]

    async def matched(**filters: Any) -> int:
        body = {"status": "failed,unknown", "dryRun": True, **filters}
        status, counted = await api.call("POST", f"{MESSAGES}:redrive", json=body)
        assert status == 202, counted
        return int(counted["matched"])

    assert await matched() == 5
    assert await matched(timezone="Asia/Tokyo,Europe/Rome") == 0
    assert await matched(timezone=f"Asia/Tokyo,{users[0]['timezone']}") == 5
    assert await matched(userId=users[1]["id"]) == 1
    assert await matched(email=users[1]["email"].upper()) == 1
    assert await matched(ids=ids[:3]) == 3
    assert await matched(ids=ids[:3], userId=users[1]["id"]) <= 1
    _, real = await api.call("POST", f"{MESSAGES}:redrive", json={"status": "failed", "ids": ids[:2]})
    assert real["redriven"] == 2
    _, left = await api.call("GET", f"{MESSAGES}?status=failed&timezone={users[0]['timezone']}")
    assert sorted(item["id"] for item in left["items"]) == sorted(ids[2:])


async def test_a_redrive_of_what_cannot_be_redriven_is_refused(api: Api) -> None:
    """The status must be given, so that nothing is sent again by accident."""
    bodies: list[dict[str, Any]] = [
        {},
        {"status": "sent"},
        {"status": "failed", "x": 1},
        {"status": "failed", "dryRun": 1},
        {"status": "failed", "dryRun": "true"},
        {"status": "failed,sent"},
        {"status": ["failed"]},
        {"status": "failed", "timezone": ["UTC"]},
        {"status": "failed", "timezone": "Europe/Nowhere"},
        {"status": "failed", "userId": 5},
        {"status": "failed", "ids": []},
        {"status": "failed", "ids": ["x"]},
    ]

    answers = [await api.call("POST", f"{MESSAGES}:redrive", json=body) for body in bodies]

    assert [status for status, _ in answers] == [422] * len(bodies)


async def test_messages_are_found_by_user_and_address_and_newest_first(serve: Serve, clock: Clock) -> None:
    """Support has an address, and needs the latest message."""
    api, users = await due(serve, clock, 3)
    _, page = await api.call("GET", MESSAGES)
    ids = [item["id"] for item in page["items"]]

    _, newest = await api.call("GET", f"{MESSAGES}?order=desc&limit=2")
    _, rest = await api.call("GET", f"{MESSAGES}?order=desc&limit=2&cursor={newest['nextCursor']}")
    _, by_user = await api.call("GET", f"{MESSAGES}?userId={users[1]['id']}")
    _, by_email = await api.call("GET", f"{MESSAGES}?email={users[1]['email'].upper()}")
    _, nobody = await api.call("GET", f"{MESSAGES}?email=nobody@example.com")

    assert [item["id"] for item in newest["items"] + rest["items"]] == ids[::-1]
    assert [item["userId"] for item in by_user["items"]] == [users[1]["id"]]
    assert by_email["items"] == by_user["items"]
    assert (nobody["items"], nobody["total"]) == ([], 0)


async def test_several_states_are_listed_with_their_total(serve: Serve, clock: Clock) -> None:
    """One list has all failures. The total is given where an index makes it cheap."""
    api, _ = await due(serve, clock, 3)
    await send(api, Outcome.PERMANENT_FAILURE, Status.FAILED, 422)

    _, failed = await api.call("GET", f"{MESSAGES}?status=failed,expired,unknown&limit=1")
    _, second = await api.call("GET", f"{MESSAGES}?status=failed,expired&limit=1&cursor={failed['nextCursor']}")
    _, everything = await api.call("GET", f"{MESSAGES}?limit=1")
    _, none = await api.call("GET", f"{MESSAGES}?status=sent,cancelled")

    assert (len(failed["items"]), failed["total"]) == (1, 3)
    assert "total" not in second
    assert "total" not in everything
    assert (none["items"], none["total"]) == ([], 0)


async def test_a_message_comes_with_its_user(serve: Serve, clock: Clock) -> None:
    """A deleted user is shown, an erased one is not."""
    api, users = await due(serve, clock, 3)
    await api.call("DELETE", f"/api/v1/users/{users[1]['id']}")
    await api.call("DELETE", f"/api/v1/users/{users[2]['id']}?erase=true")

    _, page = await api.call("GET", f"{MESSAGES}?expand=user")

    shown = {item["userId"]: item["user"] and item["user"]["email"] for item in page["items"]}
    assert shown == {users[0]["id"]: users[0]["email"], users[1]["id"]: users[1]["email"], users[2]["id"]: None}
    _, own = await api.call("GET", f"/api/v1/users/{users[0]['id']}/messages?expand=user&order=desc")
    assert own["items"][0]["user"]["firstName"] == "Ada"


@pytest.mark.parametrize(
    "query", ["status=failed,", "status=lost,sent", "order=newest", "expand=all", "userId=7", "email="]
)
async def test_a_listing_that_means_nothing_is_refused(api: Api, query: str) -> None:
    """A misspelt filter must not return everything."""
    status, problem = await api.call("GET", f"{MESSAGES}?{query}")

    assert (status, problem["errors"][0]["field"]) == (422, query.partition("=")[0])
