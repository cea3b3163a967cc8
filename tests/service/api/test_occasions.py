"""Occasions over HTTP: written with versions, refused with the place of the error, rendered and test-sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.domain.occasions import MOST_OCCASIONS
from tests.service.api.conftest import Api, Post, Serve

BIRTHDAY = "/api/v1/occasions/birthday"
NAME_DAY = "/api/v1/occasions/name_day"


@pytest.fixture
async def api(serve: Serve) -> Api:
    return await serve()


async def test_the_default_occasions_have_their_texts(api: Api) -> None:
    status, found = await api.call("GET", "/api/v1/occasions")

    assert status == 200
    assert [(one["code"], one["text"]) for one in found["items"]] == [
        ("anniversary", "Hey, {full_name} it's your anniversary"),
        ("birthday", "Hey, {full_name} it's your birthday"),
    ]


async def test_an_occasion_is_created_read_replaced_changed_and_deleted(api: Api) -> None:
    async with api.client.put(NAME_DAY, json={"text": "Hey, {first_name}"}) as response:
        assert (response.status, response.headers["Location"]) == (201, NAME_DAY)
        tag = response.headers["ETag"]
    status, again = await api.call("PUT", NAME_DAY, json={"text": "Hey, {first_name}"})
    assert (status, again["textVersion"], again["subject"]) == (200, 1, "A greeting for you")
    async with api.client.get(NAME_DAY, headers={"If-None-Match": tag}) as response:
        assert response.status == 304

    status, changed = await api.call(
        "PATCH",
        NAME_DAY,
        json={
            "weekend": "before",
            "offsetDays": -3,
            "sendAt": "18:30",
            "leapDay": "mar1",
            "texts": {"de-at": "Moin"},
        },
    )
    assert status == 200
    assert {name: changed[name] for name in ("weekend", "offsetDays", "sendAt", "leapDay", "textVersion")} == {
        "weekend": "before",
        "offsetDays": -3,
        "sendAt": "18:30:00",
        "leapDay": "mar1",
        "textVersion": 2,
    }
    assert changed["texts"] == {"de-AT": {"subject": None, "text": "Moin", "textWithoutYears": None}}
    assert (await api.call("DELETE", NAME_DAY))[0] == 204
    assert (await api.call("GET", NAME_DAY))[0] == 404


async def test_what_another_person_changed_is_not_overwritten(api: Api) -> None:
    async with api.client.get(BIRTHDAY) as response:
        tag = response.headers["ETag"]
    await api.call("PATCH", BIRTHDAY, json={"subject": "Hooray"})

    for method, body in (("PUT", {"text": "Hi"}), ("PATCH", {"text": "Hi"}), ("DELETE", None)):
        async with api.client.request(method, BIRTHDAY, json=body, headers={"If-Match": tag}) as response:
            assert (response.status, response.headers["ETag"]) == (412, '"2"')
    async with api.client.put(NAME_DAY, json={"text": "Hi"}, headers={"If-Match": "*"}) as response:
        assert response.status == 412
    assert (await api.call("GET", BIRTHDAY))[1]["text"] == "Hey, {full_name} it's your birthday"


async def test_if_none_match_creates_and_replaces_nothing(api: Api) -> None:
    """Of two clients that create the same occasion one is told that it is there."""
    only_new = {"If-None-Match": "*"}

    answers = await asyncio.gather(
        *(api.call("PUT", NAME_DAY, json={"text": text}, headers=only_new) for text in ("Hi", "Hello"))
    )
    assert sorted(status for status, _ in answers) == [201, 412]
    for method, body in (("PUT", {"text": "Hey"}), ("PATCH", {"text": "Hey"}), ("DELETE", None)):
        for tag in ("*", '"1"', 'W/"1", "7"'):
            async with api.client.request(method, NAME_DAY, json=body, headers={"If-None-Match": tag}) as response:
                assert (response.status, response.headers["ETag"]) == (412, '"1"')
    assert (await api.call("GET", NAME_DAY))[1]["text"] in ("Hi", "Hello")
    status, _ = await api.call("PATCH", NAME_DAY, json={"text": "Hey"}, headers={"If-None-Match": '"7"'})
    assert status == 200


async def test_patches_at_the_same_moment_are_all_kept(api: Api) -> None:
    patches: list[dict[str, object]] = [{"subject": "Hooray"}, {"weekend": "after"}, {"offsetDays": 1}]

    answers = await asyncio.gather(*(api.call("PATCH", BIRTHDAY, json=patch) for patch in patches))

    assert [status for status, _ in answers] == [200, 200, 200]
    found = (await api.call("GET", BIRTHDAY))[1]
    assert (found["subject"], found["weekend"], found["offsetDays"]) == ("Hooray", "after", 1)


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        ({"text": "Dear {name"}, "text", "`Dear {name`, column 6: expected {full_name}"),
        ({"text": ""}, "text", "xpected some text"),
        ({"text": "{years} years"}, "textWithoutYears", "for dates whose year is unknown"),
        ({"subject": "two\nlines"}, "subject", "column 4"),
        ({"subject": None}, "subject", "null"),
        ({"texts": {"de": {"text": "Hallo {"}}}, "texts.de.text", "column 7"),
        ({"texts": {"not a tag": "Hallo"}}, "texts.not a tag", "Expected a language tag (BCP 47), such as"),
        ({"texts": {"en": "a", "de_AT": "b"}}, "texts.de_AT", "Did you mean de-AT?"),
        ({"texts": {"fr": "a", "FR": "b"}}, "texts.FR", "fr is there in another spelling"),
        ({"texts": []}, "texts", "object"),
        ({"texts": {"de": {"text": "a", "more": 1}}}, "texts", "object"),
        ({"sendAt": "24:00"}, "sendAt", "HH:MM"),
        ({"leapDay": "soon"}, "leapDay", "feb28"),
        ({"weekend": None}, "weekend", "null"),
        ({"weekend": ["keep"]}, "weekend", "keep, before, after"),
        ({"offsetDays": 61}, "offsetDays", "-60 to 60"),
        ({"offsetDays": 1.5}, "offsetDays", "-60 to 60"),
        ({"offsetDays": True}, "offsetDays", "-60 to 60"),
        ({"active": "yes"}, "active", "true or false"),
        ({"active": "false"}, "active", "true or false"),
        ({"version": 3}, "version", "Unknown"),
        ({"text": "nul \0"}, "text", "UTF-8"),
    ],
)  # fmt: skip
async def test_a_mistake_is_refused_with_its_field_and_place(
    api: Api, wrong: dict[str, Any], field: str, message: str
) -> None:
    for method in ("PUT", "PATCH"):
        status, problem = await api.call(method, BIRTHDAY, json={"text": "Hey", **wrong} if method == "PUT" else wrong)

        assert status == 422, problem
        assert [one["field"] for one in problem["errors"]] == [field]
        assert message in problem["errors"][0]["message"]


@pytest.mark.parametrize("code", ["Name_day", "1st", "a" * 33, "name-day"])
async def test_a_code_that_is_none_is_refused(api: Api, code: str) -> None:
    assert (await api.call("PUT", f"/api/v1/occasions/{code}", json={"text": "Hey"}))[0] == 422


@pytest.mark.parametrize(("method", "action"), [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", ":render")])
async def test_there_is_no_occasion_of_a_code_that_no_text_can_be(api: Api, method: str, action: str) -> None:
    """The database takes no NUL, not even in a question."""
    assert (await api.call(method, f"/api/v1/occasions/%00{action}", json={"text": "Hey"}))[0] == 404


async def test_the_word_for_everything_is_no_code(api: Api) -> None:
    """In metrics and logs a hold of it would look like a hold of everything."""
    status, problem = await api.call("PUT", "/api/v1/occasions/all", json={"text": "Hey"})

    assert (status, [one["field"] for one in problem["errors"]]) == (422, ["code"])


async def test_a_code_with_the_field_of_another_is_refused(api: Api) -> None:
    await api.call("PUT", "/api/v1/occasions/day_1", json={"text": "Hey"})

    status, problem = await api.call("PUT", "/api/v1/occasions/day1", json={"text": "Hey"})

    assert (status, "same JSON field" in problem["detail"]) == (422, True)


async def test_there_is_a_bound_to_the_occasions(api: Api) -> None:
    """Each is a field of every user. The request is not at fault: it is right once another occasion is deleted."""
    await api.database.fetch(
        """-- as many as there may be
        insert into occasions (code, template)
        select 'day_of_' || chr(97 + n / 26) || chr(97 + n % 26), 'Hey' from generate_series(3, $1::integer) n
        """,
        MOST_OCCASIONS,
    )

    status, problem = await api.call("PUT", NAME_DAY, json={"text": "Hey"})
    changed, _ = await api.call("PATCH", BIRTHDAY, json={"text": "Hey"})

    assert (status, problem["type"], changed) == (409, "/problems/limit-reached", 200)


async def test_one_in_use_cannot_be_deleted_but_deactivated(api: Api) -> None:
    await api.read_clock()
    await api.create(birthdayDate="1990-05-01")

    status, problem = await api.call("DELETE", BIRTHDAY)

    assert (status, problem["type"].rpartition("/")[2]) == (409, "occasion-in-use")
    assert (await api.call("PATCH", BIRTHDAY, json={"active": False}))[1]["active"] is False


async def test_every_change_is_in_the_audit_log(api: Api) -> None:
    await api.call("PUT", NAME_DAY, json={"text": "Hey"})
    await api.call("PUT", NAME_DAY, json={"text": "Hey"})  # no change
    await api.call("PATCH", NAME_DAY, json={"text": "Hi"})
    await api.call("DELETE", NAME_DAY)

    rows = await api.database.fetch("select action, subject_kind, subject_id from audit order by id")

    assert [tuple(row) for row in rows] == [
        (f"occasion.{action}", "occasion", "name_day") for action in ("created", "changed", "deleted")
    ]


TEXTS = {
    "subject": "For {first_name}",
    "text": "{full_name} is {years}",
    "textWithoutYears": "Hey, {full_name}",
    "texts": {"de": {"text": "Hallo {first_name}"}, "de-AT": {"subject": "Alles Gute", "text": "Servus {first_name}"}},
}


async def test_a_text_is_shown_for_made_up_values_in_every_language(api: Api) -> None:
    await api.call("PUT", BIRTHDAY, json=TEXTS)

    status, found = await api.call(
        "POST", f"{BIRTHDAY}:render", json={"firstName": "Ada", "lastName": None, "locale": "de-AT-1996", "years": 36}
    )

    assert (status, found["textVersion"]) == (200, 2)
    assert found["items"] == [
        {"language": None, "subject": "For Ada", "text": "Ada is 36", "chosen": False},
        {"language": "de", "subject": "For Ada", "text": "Hallo Ada", "chosen": False},
        {"language": "de-AT", "subject": "Alles Gute", "text": "Servus Ada", "chosen": True},
    ]
    unknown = (await api.call("POST", f"{BIRTHDAY}:render", json={}))[1]["items"][0]
    assert (unknown["text"], unknown["chosen"]) == ("Hey, Ada Lovelace", True)


async def test_many_mistakes_make_no_large_answer(api: Api) -> None:
    """The first of them are named, and the number of all."""
    texts = {f"{first}{second}": {"text": "{"} for first in "abcdef" for second in "abcdef"}

    status, problem = await api.call("PUT", BIRTHDAY, json={"text": "x", "texts": texts})

    assert (status, len(problem["errors"])) == (422, 20)
    assert "more, the first 20 in `errors`" in problem["detail"]


async def test_a_user_who_was_born_this_year_is_shown_the_text_of_the_first_greeting(api: Api) -> None:
    """It has a number of years: the year is known."""
    await api.read_clock()
    await api.call("PUT", BIRTHDAY, json=TEXTS)
    today = await api.database.value("select (business_now() - interval '14 hours')::date")
    user = await api.create(firstName="Bo", lastName=None, birthdayDate=today.isoformat())

    _, found = await api.call("POST", f"{BIRTHDAY}:render", json={"userId": user["id"]})

    assert {"text": "Bo is 1", "chosen": True}.items() <= found["items"][0].items()


async def test_a_text_is_shown_for_a_user(api: Api) -> None:
    await api.read_clock()
    await api.call("PUT", BIRTHDAY, json=TEXTS)
    user = await api.create(firstName="Grace", lastName="Hopper", birthdayDate="--12-09", locale="de")

    status, found = await api.call("POST", f"{BIRTHDAY}:render", json={"userId": user["id"]})

    assert status == 200
    assert [(one["text"], one["chosen"]) for one in found["items"]] == [
        ("Hey, Grace Hopper", False),
        ("Hallo Grace", True),
        ("Servus Grace", False),
    ]
    other = "01936f3a-7c1e-7b52-9d3e-2a4f6c8e0b11"
    assert (await api.call("POST", f"{BIRTHDAY}:render", json={"userId": other}))[0] == 422
    misspelt = user["id"].replace("-", "") + "----"
    assert (await api.call("POST", f"{BIRTHDAY}:render", json={"userId": misspelt}))[0] == 422
    for both in ({"firstName": "Bo"}, {"locale": "de"}, {"years": 3, "lastName": "Bo"}):
        status, problem = await api.call("POST", f"{BIRTHDAY}:render", json={"userId": user["id"], **both})
        assert (status, sorted(one["field"] for one in problem["errors"])) == (422, sorted(both))
    unset = {"userId": user["id"], "locale": None, "years": None}
    assert (await api.call("POST", f"{BIRTHDAY}:render", json=unset))[0] == 200


async def test_a_test_goes_to_the_address_and_leaves_no_message(serve: Serve) -> None:
    post = Post()
    api = await serve(email=post)

    status, found = await api.call("POST", f"{BIRTHDAY}:testSend", json={"to": "me@example.com"})

    (greeting,) = post.sent
    assert (greeting.email, greeting.text) == ("me@example.com", "Hey, Ada Lovelace it's your birthday")
    assert greeting.subject == "Happy birthday"
    assert (status, found["outcome"], found["statusCode"]) == (200, "permanent_failure", 422)
    assert (found["error"], found["idempotencyKey"]) == ("no such address", str(greeting.id))
    assert await api.database.value("select count(*) from messages") == 0
    assert await api.database.value("select array_agg(action) from audit") == ["occasion.test_sent"]
    await api.call("POST", f"{BIRTHDAY}:testSend", json={"to": "me@example.com"})
    assert post.sent[1].id != greeting.id


async def test_a_test_sent_again_after_a_crash_has_the_same_key(serve: Serve) -> None:
    """The node died after the call, before it kept its answer. The email service recognises the key."""
    post = Post()
    api = await serve(email=post)

    for key in ("one", "one", "two"):
        await api.call("POST", f"{BIRTHDAY}:testSend", json={"to": "me@example.com"}, headers={"Idempotency-Key": key})
        await api.database.fetch("-- forget\ndelete from idempotency_keys")

    first, again, other = (greeting.id for greeting in post.sent)
    assert first == again != other


async def test_a_test_goes_by_the_second_service_if_that_is_asked_for(serve: Serve) -> None:
    """Its credentials and sender are tried before the first one fails."""
    first, second = Post(), Post()
    api = await serve(email=first, fallback=second)
    wanted = {"to": "me@example.com", "service": "fallback"}

    assert (await api.call("POST", f"{BIRTHDAY}:testSend", json=wanted))[0] == 200
    assert (len(first.sent), len(second.sent)) == (0, 1)
    alone = await serve(email=first)
    status, problem = await alone.call("POST", f"{BIRTHDAY}:testSend", json=wanted)
    assert (status, problem["errors"][0]["field"]) == (422, "service")
    assert first.sent == []


async def test_nothing_is_tried_while_the_circuit_is_open(serve: Serve) -> None:
    api = await serve(email=Post(is_open=True))

    status, problem = await api.call("POST", f"{BIRTHDAY}:testSend", json={"to": "me@example.com"})

    assert (status, "nothing was sent" in problem["detail"]) == (503, True)


async def test_a_test_goes_only_where_heyday_only_to_allows(serve: Serve) -> None:
    post = Post()
    api = await serve({"only_to": ("@example.org",)}, email=post)

    for to, expected in (("me@example.com", 422), ("me@example.org", 200)):
        assert (await api.call("POST", f"{BIRTHDAY}:testSend", json={"to": to}))[0] == expected
    assert [one.email for one in post.sent] == ["me@example.org"]


async def test_a_suppressed_address_gets_no_test(serve: Serve) -> None:
    """In any spelling; until the suppression is removed."""
    post = Post()
    api = await serve(email=post)
    _, made = await api.call("POST", "/api/v1/suppressions", json={"email": "Me@Example.com", "reason": "complaint"})

    status, problem = await api.call("POST", f"{BIRTHDAY}:testSend", json={"to": "me@example.com"})

    assert (status, problem["errors"][0]["field"]) == (422, "to")
    assert "not suppressed (complaint)" in problem["detail"]
    assert post.sent == []
    await api.call("DELETE", f"/api/v1/suppressions/{made['id']}")
    assert (await api.call("POST", f"{BIRTHDAY}:testSend", json={"to": "me@example.com"}))[0] == 200


async def test_a_test_needs_an_address(api: Api) -> None:
    status, problem = await api.call("POST", f"{BIRTHDAY}:testSend", json={"to": "nobody"})

    assert (status, problem["errors"][0]["field"]) == (422, "to")
