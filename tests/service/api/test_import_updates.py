"""Tests imports that update: a nightly export creates, updates, or changes nothing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from service.api.routes import imports
from service.ports import Unavailable
from tests.service.api.conftest import Api, Serve, a_user
from tests.service.api.test_imports import IMPORT, NDJSON, document

USERS = "/api/v1/users"


async def update(
    api: Api, *users: dict[str, object], body: bytes | None = None, **headers: str
) -> list[dict[str, Any]]:
    """Import with `onConflict=update`."""
    data = document(*users) if body is None else body
    async with api.client.post(f"{IMPORT}?onConflict=update", data=data, headers={**NDJSON, **headers}) as response:
        assert response.status == 200, await response.text()
        return [orjson.loads(line) async for line in response.content]


def outcomes(results: list[dict[str, Any]]) -> list[tuple[int, str | None]]:
    """Status and result of each line."""
    return [(one["status"], one.get("result")) for one in results]


async def test_an_export_twice_is_all_unchanged(api: Api) -> None:
    """Versions, instants and messages stay the same."""
    rows = [a_user(externalId=f"HR-{n}", birthdayDate="--02-29", anniversaryDate="2019-05-01") for n in range(1_200)]

    first = await update(api, *rows)
    before = await api.database.fetch("-- a\nselect * from users order by id")
    second = await update(api, *rows)

    assert set(outcomes(first)) == {(201, "created")}
    assert set(outcomes(second)) == {(200, "unchanged")}
    assert [one["id"] for one in second] == [one["id"] for one in first]
    assert await api.database.fetch("-- b\nselect * from users order by id") == before


async def test_a_row_changes_what_it_has_and_leaves_the_rest(api: Api) -> None:
    """An export has some of the fields. Null removes a field, as in a merge patch."""
    made = await api.create(externalId="7", locationCity="Turin", birthdayDate="1990-05-01", locale="it")
    row = {key: made[key] for key in ("externalId", "firstName", "email", "timezone")}

    (result,) = await update(api, {**row, "firstName": "Augusta", "birthdayDate": None})
    _, after = await api.call("GET", f"{USERS}/{made['id']}")

    assert (result["status"], result["result"], result["id"]) == (200, "updated", made["id"])
    assert after == {**made, "firstName": "Augusta", "birthdayDate": None, "updatedAt": after["updatedAt"]}


async def test_a_moved_zone_plans_again(api: Api) -> None:
    """An edit of one user does the same."""
    now = await api.database.value("-- now\nselect business_now()")
    await api.database.fetch("-- far\nupdate planning set planned_until = business_now() + interval '40 days'")
    day = await api.database.value("-- day\nselect to_char(business_now() + interval '20 days', '--MM-DD')")
    row = a_user(externalId="7", birthdayDate=day, timezone="Asia/Tokyo")
    await update(api, row)

    await update(api, {**row, "timezone": "America/New_York"})

    (message,) = await api.database.fetch("-- messages\nselect timezone, send_at from messages")
    assert message["timezone"] == "America/New_York"
    assert message["send_at"] > now


async def test_a_user_without_a_key_is_found_by_the_address_and_gets_the_key(api: Api) -> None:
    """Such users existed before the first export."""
    made = await api.create(email="ada@example.com")
    row = a_user(email="ADA@example.com", externalId="7")

    results = await update(api, row) + await update(api, {**row, "email": "ada.l@example.com"})

    assert outcomes(results) == [(200, "updated"), (200, "updated")]
    _, after = await api.call("GET", f"{USERS}/{made['id']}")
    assert (after["externalId"], after["email"]) == ("7", "ada.l@example.com")


async def test_a_row_without_a_key_takes_no_key_away(api: Api) -> None:
    """An empty cell of a spreadsheet removes nothing."""
    await api.create(email="ada@example.com", externalId="7")

    (result,) = await update(api, a_user(email="ada@example.com", externalId=None))

    assert (result["status"], result["result"]) == (200, "unchanged")


async def test_the_address_of_another_key_is_a_conflict(api: Api) -> None:
    """No row takes over the user of another key."""
    await api.create(email="ada@example.com", externalId="7")
    await api.create(email="bob@example.com", externalId="8")

    results = await update(
        api, a_user(email="ada@example.com", externalId="9"), a_user(email="ada@example.com", externalId="8")
    )

    assert [one["type"] for one in results] == ["/problems/email-taken"] * 2


async def test_of_two_rows_of_one_user_the_second_updates(api: Api) -> None:
    """Rows are applied in the order of the lines, within and across batches."""
    row = a_user(externalId="7")

    results = await update(
        api, row, {**row, "firstName": "B"}, *(a_user() for _ in range(600)), {**row, "firstName": "C"}
    )

    assert outcomes([results[0], results[1], results[-1]]) == [(201, "created"), (200, "updated"), (200, "updated")]
    _, page = await api.call("GET", f"{USERS}?email={row['email']}")
    assert page["items"][0]["firstName"] == "C"


async def test_two_users_can_pass_an_address_on(api: Api) -> None:
    """A user gets an address when another row has freed it, because an export describes the final state."""
    one, two = a_user(externalId="1", email="a@example.com"), a_user(externalId="2", email="b@example.com")
    await update(api, one, two)

    results = await update(api, {**one, "email": "b@example.com"}, {**two, "email": "c@example.com"})

    assert outcomes(results) == [(200, "updated"), (200, "updated")]


async def test_an_outage_in_the_middle_is_made_up_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored rows are not stored again, and keep their results."""
    monkeypatch.setattr(imports, "RETRY_INTERVAL", 0.0)
    api = await serve()
    users, calls = api.dependencies.ports.users, []

    async def match(
        *args: Any,
    ) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise Unavailable("postgres", "gone")
        return await type(users).match(users, *args)

    monkeypatch.setattr(users, "match", match)
    row = a_user(externalId="7")

    results = await update(api, row, {**row, "firstName": "B"})

    assert outcomes(results) == [(201, "created"), (200, "updated")]
    assert len(calls) == 3


async def test_an_outage_that_lasts_is_told_row_by_row(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every import does so."""
    monkeypatch.setattr(imports, "RETRY_INTERVAL", 0.0)
    api = await serve()

    async def match(*_args: Any) -> Any:
        raise Unavailable("postgres", "gone")

    monkeypatch.setattr(api.dependencies.ports.users, "match", match)

    assert [one["status"] for one in await update(api, a_user(), a_user())] == [503, 503]


async def test_a_broken_row_ends_no_other(api: Api) -> None:
    """Each is reported with its line and reason."""
    rows = [a_user(externalId=f"{n}", timezone="UTC" if n % 100 else "utc+2") for n in range(700)]

    results = await update(api, *rows)

    assert [one["line"] for one in results if one["status"] == 422] == [n + 1 for n in range(0, 700, 100)]
    refused = results[0]["errors"][0]
    assert refused["message"] == "Expected the name of an IANA time zone. Did you mean Etc/GMT-2?"
    assert sum(one["status"] == 201 for one in results) == 693


async def test_another_word_for_conflicts_is_refused(api: Api) -> None:
    """A misspelt value must not mean the default."""
    status, problem = await api.call("POST", f"{IMPORT}?onConflict=overwrite", data=b"{}", headers=NDJSON)

    assert (status, problem["errors"][0]["field"]) == (422, "onConflict")


async def test_changes_of_a_batch_are_made_together_and_a_refused_one_alone(api: Api) -> None:
    """A transaction for each row took 2.5 ms. A row that the database refuses must not take others with it."""
    await api.create(email="taken@example.com", externalId="other")
    rows = [a_user(externalId=f"{n}", email=f"{n}@example.com") for n in range(40)]
    await update(api, *rows)
    changed = [{**row, "firstName": "Augusta"} for row in rows]
    changed[13]["email"] = "taken@example.com"
    before = await api.database.value("-- x\nselect pg_current_xact_id()::text::bigint")

    results = await update(api, *changed)

    after = await api.database.value("-- x\nselect pg_current_xact_id()::text::bigint")
    assert outcomes(results) == [(409, None) if n == 13 else (200, "updated") for n in range(40)]
    names = await api.database.fetch("-- names\nselect first_name, count(*) from users group by 1 order by 1")
    assert [tuple(row) for row in names] == [("Ada", 2), ("Augusta", 39)]
    assert after - before < 40


async def test_of_rows_that_mean_one_user_by_key_and_by_address_both_count(api: Api) -> None:
    """They have no key in common, so only the database knows that they mean one user."""
    made = await api.create(externalId="7", email="ada@example.com")
    by_key = a_user(externalId="7", email="ada@example.com", firstName="Augusta")
    by_address = a_user(email="ada@example.com", locationCity="Turin")

    results = await update(api, by_key, by_address)

    assert outcomes(results) == [(200, "updated"), (200, "updated")]
    _, after = await api.call("GET", f"{USERS}/{made['id']}")
    assert (after["email"], after["locationCity"]) == ("ada@example.com", "Turin")


@pytest.mark.parametrize("between", [0, 600])
@pytest.mark.parametrize("name", ["Bob", "Ann"])
async def test_an_address_that_an_earlier_row_has_freed_is_that_of_another_person(
    api: Api, between: int, name: str
) -> None:
    """Rows are applied in order. Bob got Ann's key and dates, or was taken for her, and no user had the address."""
    ann = await api.create(externalId="A", firstName="Ann", email="old@example.com")
    moves = {**a_user(externalId="A", firstName="Ann"), "email": "new@example.com"}
    joins = {**a_user(firstName=name), "email": "old@example.com"}

    results = await update(api, moves, *(a_user() for _ in range(between)), joins)

    assert outcomes([results[0], results[-1]]) == [(200, "updated"), (201, "created")]
    _, after = await api.call("GET", f"{USERS}/{ann['id']}")
    assert (after["firstName"], after["email"]) == ("Ann", "new@example.com")
    _, found = await api.call("GET", f"{USERS}?email=old@example.com")
    assert [(one["firstName"], one["externalId"]) for one in found["items"]] == [(name, None)]
