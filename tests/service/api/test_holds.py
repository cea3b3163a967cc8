"""The routes of holds."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest

from service.adapters.postgres.holds import MOST_ACTIVE
from service.api.routes.holds import Duration
from tests.service.api.conftest import Api, Serve

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "reason"),
    ({"reason": " "}, "reason"),
    ({"reason": "a\nb"}, "reason"),
    ({"reason": "x" * 301}, "reason"),
    ({"reason": 5}, "reason"),
    ({"reason": "why", "occasion": "name_day"}, "occasion"),
    ({"reason": "why", "occasion": ""}, "occasion"),
    ({"reason": "why", "until": "2001-01-01T00:00:00Z"}, "until"),
    ({"reason": "why", "until": "tomorrow"}, "until"),
    ({"reason": "why", "for": "0s"}, "for"),
    ({"reason": "why", "for": "2 hours"}, "for"),
    ({"reason": "why", "for": 7200}, "for"),
    ({"reason": "why", "for": "400d"}, "for"),
    ({"reason": "why", "for": "1h", "until": "2099-01-01T00:00:00Z"}, "for"),
    ({"reason": "why", "author": "somebody else"}, "author"),
]


async def hold(api: Api, **fields: object) -> dict[str, Any]:
    """Make a hold."""
    status, made = await api.call("POST", "/api/v1/holds", json={"reason": "a test", **fields})
    assert status == 201, made
    return dict(made)


async def listed(api: Api, query: str = "") -> list[str]:
    """The ids of a listing."""
    status, page = await api.call("GET", f"/api/v1/holds{query}")
    assert status == 200
    return [one["id"] for one in page["items"]]


async def test_a_hold_is_made_listed_and_released(serve: Serve) -> None:
    """All routes show the same hold."""
    api = await serve()
    made = await hold(api, occasion="birthday", **{"for": "2h"})
    assert (made["occasion"], made["active"], made["releasedAt"]) == ("birthday", True, None)
    assert made["until"] is not None
    assert await listed(api) == [made["id"]]

    status, ended = await api.call("POST", f"/api/v1/holds/{made['id']}:release")
    assert (status, ended["active"]) == (200, False)
    assert await api.call("POST", f"/api/v1/holds/{made['id']}:release") == (200, ended)
    assert await listed(api) == []
    assert await listed(api, "?all=true") == [made["id"]]


async def test_listings_have_pages(serve: Serve) -> None:
    """Active holds come oldest first, all holds newest first."""
    api = await serve()
    ids = [(await hold(api))["id"] for _ in range(5)]

    for query, order in (("?limit=2", ids), ("?all=true&limit=2", ids[::-1])):
        found: list[str] = []
        more = ""
        while True:
            _, page = await api.call("GET", f"/api/v1/holds{query}{more}")
            found += [one["id"] for one in page["items"]]
            if page["nextCursor"] is None:
                break
            more = f"&cursor={page['nextCursor']}"
        assert found == order


@pytest.mark.parametrize(("body", "field"), REFUSED)
async def test_a_hold_that_makes_no_sense_is_refused(serve: Serve, body: dict[str, Any], field: str) -> None:
    """The operator would believe that sending is held."""
    api = await serve()
    status, problem = await api.call("POST", "/api/v1/holds", json=body)

    assert status == 422
    assert field in {error["field"] for error in problem["errors"]}
    assert await listed(api) == []


async def test_a_hold_that_is_too_long_is_refused_with_the_longest(serve: Serve) -> None:
    """The sentence was that of a text which is no duration."""
    api = await serve()

    _, problem = await api.call("POST", "/api/v1/holds", json={"reason": "why", "for": "400d"})

    assert "up to 366 days" in problem["errors"][0]["message"]


@pytest.mark.usefixtures("patient")
async def test_there_is_a_bound_to_the_active_holds(serve: Serve) -> None:
    """Every node reads them several times a second. Concurrent requests must not exceed the limit."""
    api = await serve()
    answers = await asyncio.gather(
        *(api.call("POST", "/api/v1/holds", json={"reason": "a test"}) for _ in range(MOST_ACTIVE + 5))
    )
    assert sorted(status for status, _ in answers) == [201] * MOST_ACTIVE + [409] * 5


@pytest.mark.usefixtures("patient")
async def test_a_repeated_request_finds_its_hold_also_when_no_more_may_be_active(serve: Serve) -> None:
    """A refusal would say that sending is not held."""
    api = await serve()
    keyed = {"json": {"reason": "a test"}, "headers": {"Idempotency-Key": "one"}}
    first = await api.call("POST", "/api/v1/holds", **keyed)
    answers = await asyncio.gather(
        *(api.call("POST", "/api/v1/holds", json={"reason": "another"}) for _ in range(MOST_ACTIVE))
    )
    assert 409 in {status for status, _ in answers}

    assert await api.call("POST", "/api/v1/holds", **keyed) == first
    assert first[0] == 201


async def test_a_repeated_request_makes_one_hold(serve: Serve) -> None:
    """Two holds would both have to be released."""
    api = await serve()
    made = [
        await api.call("POST", "/api/v1/holds", json={"reason": "a test"}, headers={"Idempotency-Key": "one"})
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert len(await listed(api)) == 1


async def test_an_unknown_hold_is_not_found(serve: Serve) -> None:
    """A success would look as if sending continued."""
    api = await serve()
    status, _ = await api.call("POST", "/api/v1/holds/01937f10-2b44-7a90-b1c7-5d0e8f3a6c21:release")
    assert status == 404
    status, _ = await api.call("POST", "/api/v1/holds/none:release")
    assert status == 404


async def test_explanation_and_forecast_name_the_hold(serve: Serve) -> None:
    """They answer why no greeting was sent."""
    api = await serve()
    user = await api.create(birthdayDate="1990-05-05")
    made = await hold(api, occasion="birthday")

    _, explanation = await api.call("GET", f"/api/v1/users/{user['id']}/explanation")
    told = [day for day in explanation["days"] if day["occasion"] == "birthday" and day["held"]]
    assert told
    assert all("a test" in day["why"] and day["held"]["id"] == made["id"] for day in told)
    _, forecast = await api.call("GET", "/api/v1/forecast")
    assert [one["id"] for one in forecast["holds"]] == [made["id"]]


@pytest.mark.parametrize("text", ["1ms", "999999999ms", "9999999s", "99999m", "7999h", "8784h", "366d", "100d", "2h"])
def test_every_duration_that_the_document_allows_is_accepted(text: str) -> None:
    """The largest of each unit. The pattern is the only place where a client sees the bounds."""
    assert re.fullmatch(Duration.json_schema["pattern"], text)
    assert Duration().deserialize(text) > timedelta(0)


@pytest.mark.parametrize("text", ["0h", "00ms", "367d", "8785h", "1w"])
def test_the_document_allows_no_duration_of_nothing_or_of_years(text: str) -> None:
    """Requests made from the document found that it allowed zero."""
    assert not re.fullmatch(Duration.json_schema["pattern"], text)
