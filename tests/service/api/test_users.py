"""Users over HTTP: create, read, change, list and delete."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from service.api.http.body import load
from service.api.http.problems import INVALID, Problem, invalid_fields
from service.api.representations.users import future_dates, loader
from service.domain.zones import zone_names
from service.node.clock import BusinessClock
from tests.service.api.conftest import Api, Serve, a_user

USERS = "/api/v1/users"


async def test_a_created_user_is_answered_with_its_location_and_version(api: Api) -> None:
    """Clients follow Location and send back the ETag."""
    document = a_user(birthdayDate="1815-12-10", locationCity="London")

    async with api.client.post(USERS, json=document) as response:
        created = await response.json()

    assert response.status == 201
    assert response.headers["Location"] == f"{USERS}/{created['id']}"
    assert response.headers["ETag"] == '"1"'
    assert {name: created[name] for name in document} == document
    assert created["anniversaryDate"] is None
    assert created["createdAt"].endswith("Z")
    assert await api.call("GET", response.headers["Location"]) == (200, created)


async def test_put_replaces_and_patch_merges(api: Api) -> None:
    """PUT removes a field that it leaves out. PATCH keeps it, and null removes it."""
    user = await api.create(birthdayDate="1815-12-10", anniversaryDate="1835-07-08", locationCity="London")
    path = f"{USERS}/{user['id']}"

    _, patched = await api.call("PATCH", path, json={"firstName": "Augusta", "anniversaryDate": None})
    _, put = await api.call("PUT", path, json=a_user(email=user["email"]))

    assert (patched["firstName"], patched["birthdayDate"], patched["locationCity"]) == (
        "Augusta",
        "1815-12-10",
        "London",
    )
    assert patched["anniversaryDate"] is None
    assert (put["firstName"], put["birthdayDate"], put["locationCity"]) == ("Ada", None, None)


NAMES = [
    "Zoë",
    "Владимир",
    "محمد",
    "משה",
    "李小龍",
    "สมชาย",
    "👩‍👩‍👧‍👦",
    "O'Brien-Smith",
    "Nguyễn Thị Ánh",
    "क्षत्रिय",
    "a" * 100,
]


async def test_a_name_of_any_script_comes_back_unharmed(api: Api) -> None:
    """A greeting must not have a broken name."""
    for name in NAMES:
        user = await api.create(firstName=name, lastName=name)

        assert (await api.call("GET", f"{USERS}/{user['id']}"))[1]["lastName"] == name


async def test_a_decomposed_name_is_stored_composed(api: Api) -> None:
    """Two encodings of one name must compare as equal."""
    user = await api.create(firstName="Zoe\u0308")

    assert user["firstName"] == "Zoë"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"firstName": ""}, "firstName"),
        ({"firstName": " \u3000\u2003"}, "firstName"),
        ({"firstName": "\u200b\u3164"}, "firstName"),
        ({"firstName": "a" * 101}, "firstName"),
        ({"firstName": "a\0b"}, "firstName"),
        ({"firstName": "a\nb"}, "firstName"),
        ({"firstName": "a\u2028b"}, "firstName"),
        ({"firstName": 5}, "firstName"),
        ({"firstName": ["Ada"]}, "firstName"),
        ({"lastName": " "}, "lastName"),
        ({"externalId": ""}, "externalId"),
        ({"externalId": " 7"}, "externalId"),
        ({"externalId": 7}, "externalId"),
        ({"externalId": "x" * 256}, "externalId"),
        ({"locale": "de_AT"}, "locale"),
        ({"locale": "x"}, "locale"),
        ({"birthdayDate": "--02-30"}, "birthdayDate"),
        ({"birthdayDate": "-02-28"}, "birthdayDate"),
        ({"birthdayDate": "--2-28"}, "birthdayDate"),
        ({"email": "ada@@example.com"}, "email"),
        ({"email": "ada@localhost"}, "email"),
        ({"email": "a\0@example.com"}, "email"),
        ({"email": "Ada <ada@example.com>"}, "email"),
        ({"email": "a@" + "x" * 300 + ".com"}, "email"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "europe/london"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": None}, "timezone"),
        ({"birthdayDate": "2999-01-01"}, "birthdayDate"),
        ({"birthdayDate": "2001-02-29"}, "birthdayDate"),
        ({"birthdayDate": "20010228"}, "birthdayDate"),
        ({"birthdayDate": "0000-01-01"}, "birthdayDate"),
        ({"birthdayDate": "２００１-02-28"}, "birthdayDate"),
        ({"birthdayDate": 20010228}, "birthdayDate"),
        ({"locationCity": " "}, "locationCity"),
        ({"nickname": "Ada"}, "nickname"),
        ({"id": str(uuid.uuid4())}, "id"),
        ({"__proto__": {}}, "__proto__"),
        ({"a/b~c": 1}, "a/b~c"),
    ],
)
def test_a_field_that_is_wrong_is_named(change: dict[str, Any], field: str) -> None:
    """A client shows the message beside the field."""
    occasions = ("anniversary", "birthday")
    now = datetime(2027, 3, 10, tzinfo=UTC)

    def check() -> None:
        loaded = load(loader(occasions), a_user(**change))
        if errors := future_dates(loaded, occasions, loaded["timezone"], now):
            raise invalid_fields(errors)

    with pytest.raises(Problem) as refused:
        check()

    [error] = refused.value.errors
    assert refused.value.kind is INVALID
    assert error.as_json()["field"] == field
    assert error.as_json()["pointer"] == "#/" + field.replace("~", "~0").replace("/", "~1")


async def test_every_missing_field_is_named_at_once(api: Api) -> None:
    """A client can correct all errors together."""
    _, problem = await api.call("POST", USERS, json={})

    assert {error["field"] for error in problem["errors"]} == {"firstName", "email", "timezone"}


async def test_every_iana_zone_is_accepted(api: Api) -> None:
    """An earlier system refused 107 of 599 names, among them UTC."""
    rows = b"".join(orjson.dumps(a_user(timezone=name)) + b"\n" for name in sorted(zone_names()))

    async with api.client.post(
        f"{USERS}:import", data=rows, headers={"Content-Type": "application/x-ndjson"}
    ) as response:
        results = [orjson.loads(line) async for line in response.content]

    assert [result["status"] for result in results] == [201] * len(zone_names())


@pytest.mark.usefixtures("patient")
async def test_one_address_in_a_hundred_spellings_makes_one_user(api: Api) -> None:
    """Letter case does not matter, and the database decides the race."""
    address = "grace.hopper@example.com"
    spellings = ["".join(c.upper() if (n >> i % 7) & 1 else c for i, c in enumerate(address)) for n in range(100)]

    answers = await asyncio.gather(*(api.call("POST", USERS, json=a_user(email=spelling)) for spelling in spellings))

    assert sorted(status for status, _ in answers) == [201] + [409] * 99
    assert len((await api.call("GET", f"{USERS}?email=GRACE.hopper@EXAMPLE.com"))[1]["items"]) == 1


async def test_the_address_of_a_deleted_user_is_free_again(api: Api) -> None:
    """A deleted user may sign up again."""
    user = await api.create(email="back@example.com")
    await api.call("DELETE", f"{USERS}/{user['id']}")

    assert (await api.create(email="Back@example.com"))["id"] != user["id"]
    assert (await api.call("GET", f"{USERS}/{user['id']}"))[0] == 404


async def test_changing_to_a_taken_address_is_a_conflict(api: Api) -> None:
    """Nothing changes."""
    await api.create(email="taken@example.com")
    user = await api.create()

    status, problem = await api.call("PATCH", f"{USERS}/{user['id']}", json={"email": "TAKEN@example.com"})

    assert (status, problem["type"]) == (409, "/problems/email-taken")


async def test_if_match_decides_whether_a_change_is_made(api: Api) -> None:
    """Two editors must not overwrite each other's change."""
    expected = {'"1"': 200, '"2"': 412, 'W/"1"': 412, "*": 200, '"7", "1"': 200, '"x"': 412, "1": 412}
    expected |= {'"*"': 412, '"1*"': 412, '"1*", "1"': 200}
    found = {}

    for tag in expected:
        user = await api.create()
        found[tag], _ = await api.call(
            "PATCH", f"{USERS}/{user['id']}", json={"firstName": "B"}, headers={"If-Match": tag}
        )

    assert found == expected


async def test_deleting_honours_if_match(api: Api) -> None:
    """The client has not seen the latest change of the user."""
    user = await api.create()
    path = f"{USERS}/{user['id']}"

    assert (await api.call("DELETE", path, headers={"If-Match": '"9"'}))[0] == 412
    assert (await api.call("DELETE", path, headers={"If-Match": '"1"'}))[0] == 204


@pytest.mark.parametrize(("tag", "status"), [("*", 412), ('"1"', 412), ('W/"1"', 412), ('"7"', 200)])
async def test_if_none_match_forbids_a_change_of_that_version(api: Api, tag: str, status: int) -> None:
    """`*` means: only if there is nothing yet."""
    user = await api.create()
    path, body = f"{USERS}/{user['id']}", {"firstName": "Bo", "email": user["email"], "timezone": "UTC"}

    for method in ("PUT", "PATCH"):
        got, _ = await api.call(method, path, json=body, headers={"If-None-Match": tag})
        assert got == status
    got, _ = await api.call("DELETE", path, headers={"If-None-Match": tag})
    assert got == (204 if status == 200 else status)
    missing = f"{USERS}/{uuid.uuid4()}"
    assert (await api.call("DELETE", missing, headers={"If-None-Match": tag}))[0] == 404


async def test_what_a_client_has_already_is_not_sent_again(api: Api) -> None:
    """A 304 has no body."""
    user = await api.create()

    assert await api.call("GET", f"{USERS}/{user['id']}", headers={"If-None-Match": '"1"'}) == (304, None)


async def test_pages_hold_every_user_once(api: Api) -> None:
    """This holds while users are created."""
    made = [(await api.create())["id"] for _ in range(7)]
    seen, path = [], f"{USERS}?limit=3"

    while True:
        _, page = await api.call("GET", path)
        seen += [user["id"] for user in page["items"]]
        if page["nextCursor"] is None:
            break
        path = f"{USERS}?limit=3&cursor={page['nextCursor']}"

    assert sorted(seen) == sorted(made)


async def test_filters_find_by_zone_and_birthday(api: Api) -> None:
    """29 February is a birthday like any other."""
    leap = await api.create(birthdayDate="2000-02-29", timezone="Asia/Tokyo")
    await api.create(birthdayDate="2000-02-28", timezone="Asia/Tokyo")

    _, page = await api.call("GET", f"{USERS}?birthday=02-29&timezone=Asia/Tokyo")

    assert [user["id"] for user in page["items"]] == [leap["id"]]


QUERIES = [
        "limit=0", "limit=501", "limit=x", "limit=-1", "limit=1e2", "limit=", "cursor=x", "cursor=%00",
        "birthday=02-30", "birthday=2-3", "timezone=Mars", "email=", "email=%00", "limitt=5", "limit=1&limit=2",
        "limit=99999999999999999999", "cursor=" + "A" * 5000,
]  # fmt: skip


async def test_a_query_value_out_of_range_is_refused_and_not_clamped(api: Api) -> None:
    """A client that asked for 1000 and got 500 would believe it has everything."""
    for query in QUERIES:
        status, problem = await api.call("GET", f"{USERS}?{query}")

        assert (status, problem.get("type")) == (422, "/problems/invalid-query"), (query, problem)


async def test_erasing_leaves_nothing_of_the_person(api: Api) -> None:
    """Deletion keeps the row. Erasure keeps no name, address, date or stored response."""
    async with api.client.post(
        # No word that could be in an id, which is hexadecimal.
        USERS,
        json=a_user(firstName="Zoltan", email="forget@example.com", birthdayDate="1990-05-05"),
        headers={"Idempotency-Key": "k"},
    ) as response:
        user = await response.json()

    assert (await api.call("DELETE", f"{USERS}/{user['id']}"))[0] == 204
    assert (await api.call("DELETE", f"{USERS}/{user['id']}?erase=true"))[0] == 204
    assert (await api.call("DELETE", f"{USERS}/{user['id']}?erase=true"))[0] == 404

    rows = await api.database.fetch("-- all\nselect to_jsonb(u)::text as row from users u")
    rows += await api.database.fetch("-- dates\nselect to_jsonb(u)::text as row from occasion_dates u")
    rows += await api.database.fetch("-- kept\nselect convert_from(body, 'utf8') as row from idempotency_keys u")
    text = "".join(row["row"] for row in rows)
    assert user["id"] in text
    assert not any(word in text.lower() for word in ("zoltan", "lovelace", "forget", "1990-05", "london"))


@pytest.mark.parametrize(
    ("given", "other"),
    [
        ("ann@xn--bcher-kva.example", "ann@bücher.example"),
        ("ann@bücher.example", "ANN@XN--BCHER-KVA.EXAMPLE"),
        ("ann@straße.example", "ann@xn--strae-oqa.example"),
    ],
)
async def test_an_address_is_one_in_both_idna_forms_and_kept_as_given(api: Api, given: str, other: str) -> None:
    """GET did not find a user by the posted form, while POST refused it as taken."""
    user = await api.create(email=given)

    found = [(await api.call("GET", USERS, params={"email": email}))[1]["items"] for email in (given, other)]
    taken, _ = await api.call("POST", USERS, json=a_user(email=other))

    assert user["email"] == given
    assert found == [[user]] * 2
    assert taken == 409


async def test_domains_that_idna_2008_tells_apart_are_two(api: Api) -> None:
    """`straße.de` and `strasse.de` may have different owners."""
    for email in ("x@straße.example", "x@strasse.example"):
        assert (await api.call("POST", USERS, json=a_user(email=email)))[0] == 201


@pytest.mark.parametrize("host", ["host", "my-host", "Host"])
@pytest.mark.parametrize("name", ["local", "invalid", "onion", "arpa", "localhost", "LOCAL"])
async def test_hosts_of_special_use_are_refused_however_they_are_written(api: Api, host: str, name: str) -> None:
    """They were refused with a hyphen in the host, and accepted without one."""
    status, problem = await api.call("POST", USERS, json=a_user(email=f"ann@{host}.{name}"))

    assert (status, problem["errors"][0]["field"]) == (422, "email")


@pytest.mark.parametrize("field", ["firstName", "lastName", "locationCity"])
@pytest.mark.parametrize("control", ["\u202e", "\u2066", "\u200f", "\u061c"])
async def test_a_name_holds_no_control_of_direction(api: Api, field: str, control: str) -> None:
    """It would reverse the text of the greeting, and of every list that shows it."""
    status, problem = await api.call("POST", USERS, json=a_user(**{field: f"Ada{control}evil"}))

    assert (status, problem["errors"][0]["message"]) == (422, "Expected no bidirectional control characters.")


@pytest.mark.parametrize("field", ["email", "firstName"])
def test_a_thousand_combining_marks_cost_next_to_nothing(field: str) -> None:
    """Such an address took 10 ms, because normalisation is quadratic in the number of marks."""
    marks = "".join(chr(0x300 + number % 80) for number in range(900))
    user = a_user(**{field: f"a{marks}@example.com" if field == "email" else f"a{marks}"})
    began = time.thread_time()

    for _ in range(100):
        with pytest.raises(Problem):
            load(loader(("birthday",)), user)

    assert (time.thread_time() - began) / 100 < 0.002


async def test_a_name_with_many_marks_in_one_of_the_scripts_that_need_them_is_kept(api: Api) -> None:
    """Tibetan, Thai and Hebrew stack several marks."""
    name = "ནཱ་ག་རྗུ་ན"

    assert (await api.create(firstName=name))["firstName"] == name


async def test_a_body_of_unknown_fields_is_not_answered_with_a_much_larger_one(api: Api) -> None:
    """64 kB of them made an error of 471 kB, which was stored for each Idempotency-Key."""
    body = {f"x{number}": 0 for number in range(4_000)}

    async with api.client.post(USERS, json=body) as response:
        text = await response.read()

    assert response.status == 422
    assert len(text) < 8_000
    assert "the first 20 in `errors`" in orjson.loads(text)["detail"]


async def test_a_request_to_a_node_that_has_just_started_waits_for_its_clock(serve: Serve) -> None:
    """The node listens before it has read the clock. A 503 would make the first client retry."""
    api = await serve(clock=BusinessClock())
    request = asyncio.ensure_future(api.call("POST", USERS, json=a_user()))
    await api.call("GET", "/health/live")
    assert not request.done()

    await api.read_clock()

    assert (await request)[0] == 201
