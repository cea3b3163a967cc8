"""Messages over HTTP: what became of them, and sending again what did not arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from service.domain.messages import Answer, Outcome, Status
from service.ports import Result
from tests.api.conftest import Api, Serve
from tests.conftest import Clock

MESSAGES = "/api/v1/messages"
NINE = datetime(2027, 3, 10, 9, tzinfo=UTC)


async def due(serve: Serve, clock: Clock, count: int) -> tuple[Api, list[dict[str, Any]]]:
    """Users whose greetings are due now."""
    await clock.set(NINE - timedelta(days=3))
    api = await serve()
    await api.database.fetch("-- announce\nupdate planning set up_to = $1", NINE + timedelta(days=1))
    await api.database.fetch("-- year\nselect ensure_year(2027)")
    users = [await api.create(birthdayDate="1990-03-10") for _ in range(count)]
    await clock.set(NINE)
    await api.read_clock()
    return api, users


async def send(api: Api, outcome: Outcome, status: Status, code: int | None) -> None:
    """One turn of ticker, sender and recorder."""
    node = await api.database.value("-- node\ninsert into nodes (node) values ('node-1') returning incarnation")
    messages = api.parts.messages
    queued = await messages.claim_due(fence=1, incarnation=node, limit=100, late_limit=timedelta(hours=48))
    claimed = await messages.claim_for_sending(queued.queued, incarnation=node)
    answer = Answer(outcome, 0.25, code, None if code == 200 else "no luck")
    await messages.record([Result(one.claim, status, answer, 10.0) for one in claimed], at=10.5)


async def test_a_message_tells_its_whole_way(serve: Serve, clock: Clock) -> None:
    """A person asks why somebody was not greeted; the answer names instants, nodes and status codes."""
    api, [user] = await due(serve, clock, 1)
    await send(api, Outcome.REFUSED, Status.FAILED, 422)

    _, page = await api.call("GET", f"/api/v1/users/{user['id']}/messages")
    status, message = await api.call("GET", f"{MESSAGES}/{page['items'][0]['id']}")

    assert status == 200
    assert message["timeline"][0]["event"] == "planned"
    assert {"planned", "queued", "claimed", "attempt", "recorded", "failed"} == {
        event["event"] for event in message["timeline"]
    }
    attempt = next(event for event in message["timeline"] if event["event"] == "attempt")
    assert (attempt["number"], attempt["node"], attempt["outcome"]) == (1, "node-1", "refused")
    assert (attempt["statusCode"], attempt["durationSeconds"], attempt["error"]) == (422, 0.25, "no luck")
    instants = [event["at"] for event in message["timeline"]]
    assert instants == sorted(instants)


async def test_a_user_without_messages_is_told_from_one_who_never_was(api: Api) -> None:
    """A slip in an id must not look like somebody whom nobody greets; who was deleted stays on record."""
    user = await api.create()
    await api.call("DELETE", f"/api/v1/users/{user['id']}", params={"erase": "true"})

    erased = await api.call("GET", f"/api/v1/users/{user['id']}/messages")
    nobody, problem = await api.call("GET", "/api/v1/users/00000000-0000-0000-0000-000000000000/messages")

    assert erased == (200, {"items": [], "nextCursor": None})
    assert (nobody, problem["type"]) == (404, "/problems/not-found")


async def test_messages_are_found_by_status_occasion_and_instant(serve: Serve, clock: Clock) -> None:
    """`to` is exclusive, so that windows can be laid in a row."""
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
    """A filter that is ignored answers everything."""
    for query in WRONG_QUERIES:
        status, problem = await api.call("GET", f"{MESSAGES}?{query}")

        assert (status, problem.get("type")) == (422, "/problems/invalid-query"), query


async def test_a_failed_message_is_redriven_once(serve: Serve, clock: Clock) -> None:
    """It is due at once; a message on its way is left alone."""
    api, [user] = await due(serve, clock, 1)
    await send(api, Outcome.REFUSED, Status.FAILED, 422)
    _, page = await api.call("GET", f"{MESSAGES}?status=failed")
    path = f"{MESSAGES}/{page['items'][0]['id']}"

    first = await api.call("POST", f"{path}:redrive")
    second, problem = await api.call("POST", f"{path}:redrive")

    assert first == (202, {"id": page["items"][0]["id"], "status": "scheduled"})
    assert (second, problem["type"]) == (409, "/problems/not-redrivable")
    assert (await api.call("GET", path))[1]["redrivenAt"] is not None
    assert user["id"] == (await api.call("GET", path))[1]["userId"]


async def test_a_dry_run_counts_and_the_real_one_does(serve: Serve, clock: Clock) -> None:
    """Look before you send a thousand mails. The deleted user is left out."""
    api, users = await due(serve, clock, 5)
    await send(api, Outcome.REFUSED, Status.FAILED, 422)
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


async def test_a_redrive_of_what_cannot_be_redriven_is_refused(api: Api) -> None:
    """Nothing is sent again by accident: the status must be named."""
    bodies: list[dict[str, Any]] = [
        {},
        {"status": "sent"},
        {"status": "failed", "x": 1},
        {"status": "failed", "dryRun": 1},
    ]

    answers = [await api.call("POST", f"{MESSAGES}:redrive", json=body) for body in bodies]

    assert [status for status, _ in answers] == [422] * 4
