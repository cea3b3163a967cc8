"""Tests optional user data: external keys, one name, a language, dates without a year."""

from __future__ import annotations

import asyncio

import pytest

from tests.service.api.conftest import Api, a_user
from tests.service.api.test_imports import document, run

USERS = "/api/v1/users"


async def test_a_user_with_one_name_and_no_year_comes_back_as_given(api: Api) -> None:
    """Many people have one name, and many companies do not know the year of birth."""
    given = a_user(
        externalId="HR-7", lastName=None, locale="pt-br", birthdayDate="--02-29", anniversaryDate="2019-05-01"
    )

    made = await api.create(**given)
    _, read = await api.call("GET", f"{USERS}/{made['id']}")

    expected = {**given, "locale": "pt-BR"}
    assert {name: read[name] for name in expected} == expected
    assert read == made


async def test_a_field_that_is_left_out_is_null(api: Api) -> None:
    """Older clients do not send it."""
    made = await api.create()

    assert (made["externalId"], made["locale"]) == (None, None)


async def test_an_edit_learns_and_forgets_the_year(api: Api) -> None:
    """The two kinds of date replace each other, also on the same day of the year."""
    made = await api.create(birthdayDate="1990-02-28")
    path = f"{USERS}/{made['id']}"
    seen = []
    for day in ["--02-28", "1990-02-28", "--02-28", None]:
        _, user = await api.call("PATCH", path, json={"birthdayDate": day})
        _, read = await api.call("GET", path)
        seen.append((user["birthdayDate"], read["birthdayDate"]))

    assert seen == [(day, day) for day in ["--02-28", "1990-02-28", "--02-28", None]]


async def test_a_day_without_a_year_is_found_by_its_month_and_day(api: Api) -> None:
    """The filter uses the day only."""
    made = await api.create(birthdayDate="--02-29")

    _, page = await api.call("GET", f"{USERS}?birthday=02-29")

    assert [user["id"] for user in page["items"]] == [made["id"]]


async def test_a_key_belongs_to_one_user_until_they_are_deleted(api: Api) -> None:
    """Addresses behave in the same way. Letter case matters, because other systems have such keys."""
    first = await api.create(externalId="HR-7")
    refused = await api.call("POST", USERS, json=a_user(externalId="HR-7"))
    other = await api.create(externalId="hr-7")
    moved = await api.call("PATCH", f"{USERS}/{other['id']}", json={"externalId": "HR-7"})
    await api.call("DELETE", f"{USERS}/{first['id']}")

    assert (refused[0], refused[1]["type"]) == (409, "/problems/external-id-taken")
    assert (moved[0], moved[1]["type"]) == (409, "/problems/external-id-taken")
    assert (await api.create(externalId="HR-7"))["externalId"] == "HR-7"


async def test_of_many_who_take_one_key_at_once_one_gets_it(api: Api) -> None:
    """This holds within one statement, too."""
    answers = await asyncio.gather(*(api.call("POST", USERS, json=a_user(externalId="HR-7")) for _ in range(20)))

    assert sorted(answer[0] for answer in answers) == [201] + [409] * 19
    assert {answer[1]["type"] for answer in answers if answer[0] == 409} == {"/problems/external-id-taken"}


async def test_erasing_takes_the_key_away(api: Api) -> None:
    """It identifies a person in another system."""
    made = await api.create(externalId="HR-7", locale="de")

    await api.call("DELETE", f"{USERS}/{made['id']}?erase=true")

    rows = await api.database.fetch("-- people\nselect external_id, locale, last_name from users")
    assert [tuple(row) for row in rows] == [(None, None, "")]


async def test_of_two_rows_with_one_key_the_first_wins(api: Api) -> None:
    """A statement stores rows in the order of addresses, which must not matter."""
    rows = [a_user(email="z@example.com", externalId="1"), a_user(email="a@example.com", externalId="1")]

    results = await run(api, document(*rows))

    assert [result["status"] for result in results] == [201, 409]
    assert results[1]["type"] == "/problems/external-id-taken"


@pytest.mark.parametrize(
    "domain", ["corp.local", "a-b.invalid", "x.onion", "1.0.10.in-addr.arpa", "localhost", "a.localhost"]
)
async def test_a_name_reserved_for_something_else_is_no_domain(api: Api, domain: str) -> None:
    """The rule does not depend on the rest of the address."""
    for local in ["ada", "ada!lovelace", "zoë"]:
        status, problem = await api.call("POST", USERS, json=a_user(email=f"{local}@{domain}"))

        assert (status, problem["errors"][0]["field"]) == (422, "email")
