"""`heyday occasions`, called as on the command line."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.adapters.postgres.suppressions import PostgresSuppressions
from service.domain.occasions import MOST_OCCASIONS
from service.domain.suppressions import NewSuppression, SuppressionReason
from tests.actors.commands.conftest import Run
from tests.principals import OPERATOR
from tests.service.adapters.postgres.conftest import Store


@pytest.fixture
def heyday(heyday: Run) -> Run:
    """Runs `heyday occasions`."""
    return partial(heyday, "occasions")


async def test_the_occasions_are_listed_and_shown(heyday: Run) -> None:
    code, out, _ = await heyday("list")
    assert (code, len(out.splitlines())) == (0, 2)
    assert "birthday  at the default time  Hey, {full_name} it's your birthday" in out

    code, out, _ = await heyday("show", "birthday", "--json")
    assert (code, json.loads(out)["text"]) == (0, "Hey, {full_name} it's your birthday")

    code, _, error = await heyday("show", "wedding")
    assert (code, "there are: anniversary, birthday" in error) == (1, True)


async def test_an_occasion_is_created_and_changed_piece_by_piece(heyday: Run, store: Store) -> None:
    assert (await heyday("set", "name_day", "--text", "Hey, {first_name}", "--send-at", "07:30"))[0] == 0
    code, out, _ = await heyday(
        *("set", "name_day", "--language", "de-at", "--text", "Servus {first_name}", "--weekend", "before"),
        *("--offset-days", "-3", "--send-at", "default", "--json"),
    )

    found = json.loads(out)
    assert (code, found["text"], found["texts"]["de-AT"]["text"]) == (0, "Hey, {first_name}", "Servus {first_name}")
    assert (found["weekend"], found["offsetDays"], found["sendAt"]) == ("before", -3, None)
    code, out, _ = await heyday("set", "name_day", "--inactive", "--remove-language", "de-AT")
    assert (code, "inactive" in out, "Servus" in out) == (0, True, False)
    assert "as it was" in (await heyday("set", "name_day", "--inactive"))[1]
    rows = await store.fetch("select action, os_user is not null as named from audit order by id")
    assert [tuple(row) for row in rows] == [("occasion.created", True), *[("occasion.changed", True)] * 2]


async def test_there_are_as_many_occasions_as_the_api_allows(heyday: Run, store: Store) -> None:
    """Each is a field of every user. One that is there can still be changed."""
    await store.fetch(
        "insert into occasions (code, template)"
        " select 'day_of_' || chr(97 + n / 26) || chr(97 + n % 26), 'Hey' from generate_series(3, $1::integer) n",
        MOST_OCCASIONS,
    )

    code, _, error = await heyday("set", "name_day", "--text", "Hey")
    changed, _, _ = await heyday("set", "birthday", "--text", "Hey")

    assert (code, changed) == (1, 0)
    assert f"nothing was changed: expected {MOST_OCCASIONS} occasions at most" in error


async def test_a_text_for_a_terminal_does_nothing_to_it(heyday: Run) -> None:
    """A stored text could otherwise move the cursor or change the title of the operator's terminal."""
    assert (await heyday("set", "eve", "--text", "\x1b[2JHey\nyou"))[0] == 0

    _, out, _ = await heyday("show", "eve")

    assert "\\x1b[2JHey\nyou" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("set", "birthday", "--text", "Dear {name"), 2, "`Dear {name`, column 6"),
        (("set", "birthday", "--text", "{years}"), 2, "textWithoutYears"),
        (("set", "birthday", "--offset-days", "61"), 2, "offsetDays"),
        (("set", "Name", "--text", "Hey"), 2, "code"),
        (("set", "birthday", "--send-at", "25:00"), 2, "expected HH:MM"),
        (("set", "birthday", "--language", "no tag"), 2, "language tag"),
        (("set", "birthday", "--language", "de_AT", "--text", "Hey"), 2, "did you mean de-AT?"),
        (("set", "birthday", "--language", "de"), 2, "--language: expected --text, --subject or --text-without-years"),
        (("set", "birthday", "--language", "de", "--inactive"), 2, "--language: expected --text"),
        (("set", "birthday", "--remove-language", "fr"), 1, "birthday has no text in fr"),
        (("set", "birthday", "--remove-language", "fr", "--inactive"), 1, "birthday has no text in fr"),
        (("set", "eve", "--text", "Hey", "--remove-language", "fr"), 1, "eve has no text in fr"),
        (("set", "eve", "--weekend", "after"), 2, "needs --text"),
        (("set", "birthday", "--weekend", "never"), 2, "invalid choice"),
        (("frobnicate",), 2, "invalid choice"),
        ((), 2, "required"),
    ],
)
async def test_a_mistake_changes_nothing(
    heyday: Run, store: Store, words: tuple[str, ...], code: int, sentence: str
) -> None:
    exit_code, _, error = await heyday(*words)

    assert (exit_code, sentence in error) == (code, True), error
    assert await store.database.value("select sum(version) from occasions") == 2


async def test_a_text_is_rendered_in_every_language(heyday: Run) -> None:
    await heyday("set", "birthday", "--text", "{full_name} is {years}", "--text-without-years", "Hey, {full_name}")
    await heyday("set", "birthday", "--language", "de", "--text", "Hallo {first_name}", "--subject", "Zum Tag")

    code, out, _ = await heyday("render", "birthday", "--first-name", "Grace", "--last-name", "", "--years", "85")

    assert code == 0
    assert out.splitlines() == [
        "default (chosen)",
        "  subject: Happy birthday",
        "  text: Grace is 85",
        "de",
        "  subject: Zum Tag",
        "  text: Hallo Grace",
    ]
    lines = (await heyday("render", "birthday", "--locale", "de-CH", "--json"))[1].splitlines()
    assert [json.loads(line)["chosen"] for line in lines] == [False, True]
    assert json.loads(lines[0])["text"] == "Hey, Ada Lovelace"


async def test_a_text_is_rendered_for_a_user_by_id_or_address(heyday: Run, store: Store) -> None:
    """An operator at the command line knows the address."""
    await store.due(1)
    await store.fetch("update users set first_name = 'Grace', last_name = '', email_key = 'grace@example.com'")
    user_id = await store.database.value("select id from users")

    for user in (str(user_id), "Grace@Example.com"):
        code, out, _ = await heyday("render", "birthday", "--user", user)

        assert (code, "text: Hey, Grace it's your birthday" in out) == (0, True)


@pytest.mark.parametrize(
    ("user", "code"), [("nobody@example.com", 1), ("01936f3a-7c1e-7b52-9d3e-2a4f6c8e0b11", 1), ("Grace", 2)]
)
async def test_a_text_for_a_user_who_is_not_there_is_refused(heyday: Run, user: str, code: int) -> None:
    """The sentences and codes are those of `heyday explain`."""
    found, out, error = await heyday("render", "birthday", "--user", user)

    assert (found, out, user in error) == (code, "", True)


@pytest.mark.parametrize(("status", "code", "word"), [(200, 0, "accepted"), (422, 1, "permanent_failure")])
@pytest.mark.parametrize("service", ["primary", "fallback"])
async def test_a_test_says_what_the_service_said(
    heyday: Run, store: Store, monkeypatch: pytest.MonkeyPatch, status: int, code: int, word: str, service: str
) -> None:
    received: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        received.append(await request.json())
        return web.json_response({}, status=status)

    app = web.Application()
    app.router.add_post("/send-email", answer)
    async with TestServer(app) as server:
        monkeypatch.setenv("HEYDAY_EMAIL_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("HEYDAY_REDIS_URL", "redis://127.0.0.1:1")
        there = "HEYDAY_EMAIL_URL" if service == "primary" else "HEYDAY_EMAIL_FALLBACK_URL"
        monkeypatch.setenv(there, str(server.make_url("/")).rstrip("/"))
        exit_code, out, error = await heyday("test-send", "birthday", "--to", "me@example.com", "--service", service)

    assert received == [{"email": "me@example.com", "message": "Hey, Ada Lovelace it's your birthday"}]
    assert (exit_code, out.startswith(word)) == (code, True), (out, error)
    assert await store.database.value("select count(*) from messages") == 0
    assert await store.database.value("select action from audit") == "occasion.test_sent"


async def test_a_suppressed_address_gets_no_test(heyday: Run, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule is that of the API."""
    monkeypatch.setenv("HEYDAY_EMAIL_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HEYDAY_REDIS_URL", "redis://127.0.0.1:1")
    given = [NewSuppression("Me@Example.com", SuppressionReason.BOUNCE, "test")]
    await PostgresSuppressions(store.database).add(given, by=OPERATOR)

    code, out, error = await heyday("test-send", "birthday", "--to", "me@example.com")

    assert (code, out) == (1, "")
    assert "nothing was sent: the address is suppressed (bounce)" in error


@pytest.mark.parametrize(
    "wrong",
    [
        *(("--years", "-5"), ("--years", "999"), ("--years", "x"), ("--first-name", ""), ("--first-name", "a\nb")),
        *(("--locale", "de_AT"), ("--user", "01a22f42-7c66-74db-b60d-b28858b17fb6", "--first-name", "Bo")),
    ],
)
async def test_values_of_a_recipient_are_those_of_the_api(heyday: Run, wrong: tuple[str, ...]) -> None:
    """Nothing is rendered that the API refuses."""
    code, out, _ = await heyday("render", "birthday", *wrong)

    assert (code, out) == (2, "")


@pytest.mark.parametrize("at", ["24:00", "9", "09", "0930", "09:30:00.5", "09:30+02:00", "T09:30"])
async def test_a_time_of_day_is_that_of_the_api(heyday: Run, at: str) -> None:
    """It is `HH:MM` or `HH:MM:SS`."""
    code, out, error = await heyday("set", "birthday", "--send-at", at)

    assert (code, out) == (2, "")
    assert "expected HH:MM or `default`" in error


@pytest.mark.parametrize("to", ["@", "me@", "me@host", "me@example.com\nBcc: you@example.com", "a@b@example.com"])
async def test_a_test_goes_to_an_address_only(heyday: Run, to: str) -> None:
    """The rule is that of the API."""
    code, out, error = await heyday("test-send", "birthday", "--to", to)

    assert (code, out) == (2, "")
    assert "argument --to: Expected an email address" in error


async def test_an_occasion_that_cannot_be_read_is_not_called_unknown(heyday: Run, store: Store) -> None:
    """Its row is there, and takes part in nothing until it is written anew."""
    await store.fetch("alter table occasions disable trigger occasions_checked")
    await store.fetch("insert into occasions (code, template, send_at) values ('eve', 'Hi {first_name}', '24:00')")
    await store.fetch("alter table occasions enable trigger occasions_checked")

    code, _, err = await heyday("show", "eve")
    other, _, unknown = await heyday("show", "adam")

    assert (code, other) == (1, 1)
    assert "the row of occasion 'eve' cannot be read, so it is left out: send_at" in err
    assert "there is no occasion 'adam'; there are: anniversary, birthday" in unknown
    assert (await heyday("set", "eve", "--text", "Hi {first_name}", "--send-at", "23:00"))[0] == 0
    assert (await heyday("show", "eve"))[0] == 0


async def test_occasions_that_cannot_be_used_are_listed_with_the_reason(heyday: Run, store: Store) -> None:
    """One that is left out looked as if it were not there, and one whose text is wrong as if it were sent."""
    await store.fetch("alter table occasions disable trigger occasions_checked")
    await store.fetch(
        "insert into occasions (code, template, send_at) values"
        " ('dear', 'Dear {name}', null), ('eve', 'Hi', '24:00'), ('name__day', 'Hey', null), ('name_day', 'Hey', null)"
    )

    code, out, _ = await heyday("list")
    _, as_json, _ = await heyday("list", "--json")
    shown, page, _ = await heyday("show", "dear")

    lines = out.splitlines()
    assert (code, len(lines)) == (0, 6 + 3)
    assert lines[2].startswith("dear  at the default time  Dear {name}")
    assert re.fullmatch("  ERROR text: .*{name}.*; its greetings fail until you correct it", lines[3])
    assert lines[4] == "eve  cannot be read"
    assert re.fullmatch("  ERROR send_at '24:00.*; it is left out until you correct it", lines[5])
    assert lines[8] == (
        "  ERROR code 'name_day': occasion 'name__day' has the same JSON field; it is left out until you correct it"
    )
    listed = {one["code"]: one for one in map(json.loads, as_json.splitlines())}
    assert list(listed) == ["anniversary", "birthday", "dear", "eve", "name__day", "name_day"]
    assert {code for code, one in listed.items() if one["leftOut"]} == {"eve", "name_day"}
    assert {code for code, one in listed.items() if one["problems"]} == {"dear", "eve", "name_day"}
    assert listed["eve"].keys() == {"code", "leftOut", "problems"}
    assert listed["eve"]["problems"][0].startswith("send_at '24:00")
    assert listed["dear"]["text"] == "Dear {name}"
    assert shown == 0
    assert lines[3] in page.splitlines()
