"""The routes of suppressed addresses."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.service.api.conftest import Api, Serve

NDJSON = {"Content-Type": "application/x-ndjson"}

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"reason": "manual"}, "email"),
    ({"email": "ada", "reason": "manual"}, "email"),
    ({"email": "ada@example.com"}, "reason"),
    ({"email": "ada@example.com", "reason": "bored"}, "reason"),
    ({"email": "ada@example.com", "reason": "manual", "source": ""}, "source"),
    ({"email": "ada@example.com", "reason": "manual", "until": "2099-01-01T00:00:00Z"}, "until"),
]


async def suppress(api: Api, email: str, reason: str = "opt_out", **more: str) -> tuple[int, dict[str, Any]]:
    """Suppress an address."""
    return await api.call("POST", "/api/v1/suppressions", json={"email": email, "reason": reason, **more})


async def listed(api: Api, query: str = "") -> list[tuple[str | None, str]]:
    """Address and reason of each."""
    status, page = await api.call("GET", f"/api/v1/suppressions{query}")
    assert status == 200
    return [(one["email"], one["reason"]) for one in page["items"]]


async def test_an_address_is_suppressed_once_for_each_reason(serve: Serve) -> None:
    """In any spelling. If the bounce is removed, the opt-out stays."""
    api = await serve()
    first = await suppress(api, "Ada@Example.com", source="a form")
    again = await suppress(api, "ada@example.com", source="another form")
    bounce = await suppress(api, "ADA@example.com", "bounce")
    assert (first[0], again[0], bounce[0]) == (201, 200, 201)
    assert again[1] == first[1]
    assert await listed(api, "?email=ADA@EXAMPLE.COM") == [
        ("Ada@Example.com", "opt_out"),
        ("ADA@example.com", "bounce"),
    ]
    assert await listed(api, "?reason=bounce") == [("ADA@example.com", "bounce")]

    path = f"/api/v1/suppressions/{bounce[1]['id']}"
    assert [(await api.call("DELETE", path))[0] for _ in range(2)] == [204, 404]
    assert await listed(api) == [("Ada@Example.com", "opt_out")]


@pytest.mark.parametrize(("body", "field"), REFUSED)
async def test_a_suppression_that_makes_no_sense_is_refused(serve: Serve, body: dict[str, Any], field: str) -> None:
    """An address suppressed by mistake gets no greeting."""
    api = await serve()
    status, problem = await api.call("POST", "/api/v1/suppressions", json=body)

    assert status == 422
    assert field in {error["field"] for error in problem["errors"]}


async def test_an_import_has_a_result_for_each_row_and_may_be_sent_again(serve: Serve) -> None:
    """Lists of other systems have duplicates, blank lines and errors."""
    api = await serve()
    rows = [{"email": f"{n}@example.com", "reason": "bounce", "source": "before"} for n in range(1200)]
    lines = [json.dumps(row) for row in rows]
    lines[7] = "{"
    lines[8] = json.dumps({"email": "nobody", "reason": "bounce"})
    lines[9] = lines[3]
    body = "\ufeff" + "\r\n".join(lines) + "\n\n"

    async def run() -> list[dict[str, Any]]:
        async with api.client.post("/api/v1/suppressions:import", data=body.encode(), headers=NDJSON) as response:
            assert response.status == 200
            return [json.loads(line) for line in (await response.read()).splitlines()]

    first, again = await run(), await run()
    assert [one["line"] for one in first] == list(range(1, 1201))
    assert [first[n]["status"] for n in (7, 8, 9)] == [400, 422, 200]
    assert first[9]["id"] == first[3]["id"]
    assert [one["status"] for one in first].count(201) == 1197
    assert [one["status"] for one in again].count(200) == 1198


@pytest.mark.parametrize(
    ("of", "status"),
    [
        ("application/x-ndjson; charset=utf-8", 200),
        ("application/x-ndjson; charset=utf-16", 415),
        ("application/x-ndjson; charset=latin1", 415),
        ("application/json", 415),
    ],
)
async def test_an_import_is_ndjson_in_utf_8(serve: Serve, of: str, status: int) -> None:
    """As an import of users is."""
    api = await serve()
    row = json.dumps({"email": "ada@example.com", "reason": "bounce"})

    async with api.client.post("/api/v1/suppressions:import", data=row, headers={"Content-Type": of}) as response:
        assert response.status == status
        await response.read()
    assert len(await listed(api)) == int(status == 200)


async def test_two_imports_of_the_same_addresses_do_not_deadlock(serve: Serve) -> None:
    """Two systems may import them on two nodes at once."""
    nodes = [await serve(), await serve()]
    rows = [json.dumps({"email": f"{n}@example.com", "reason": "bounce"}) for n in range(900)]

    async def run(api: Api, lines: list[str]) -> set[int]:
        body = "\n".join(lines).encode()
        async with api.client.post("/api/v1/suppressions:import", data=body, headers=NDJSON) as response:
            return {json.loads(line)["status"] for line in (await response.read()).splitlines()}

    statuses = await asyncio.gather(run(nodes[0], rows), run(nodes[1], rows[::-1]))
    assert set.union(*statuses) <= {200, 201}
    assert len(await listed(nodes[0], "?limit=500")) == 500


async def test_an_erased_user_stays_suppressed_without_an_address(serve: Serve) -> None:
    """An opt-out outlives the user. A new user with that address gets nothing."""
    api = await serve()
    user = await api.create(email="Gone@Example.com", birthdayDate="1990-05-05")
    await suppress(api, "gone@example.com", source="a call of the son of Gone")
    status, _ = await api.call("DELETE", f"/api/v1/users/{user['id']}?erase=true")
    assert status == 204
    assert await listed(api) == [(None, "opt_out")]
    _, page = await api.call("GET", "/api/v1/suppressions")
    assert [one["source"] for one in page["items"]] == ["erased"]
    assert await listed(api, "?email=gone@example.com") == [(None, "opt_out")]
    for reason in ("opt_out", "complaint"):
        await suppress(api, "gone@example.com", reason=reason)
    assert await listed(api) == [(None, "opt_out"), (None, "complaint")]

    back = await api.create(email="GONE@example.com", birthdayDate="1990-05-05")
    _, explanation = await api.call("GET", f"/api/v1/users/{back['id']}/explanation")
    told = [day for day in explanation["days"] if day["leftOut"] == "suppressed"]
    assert told
    assert all("suppressed (complaint)" in day["why"] for day in told)
