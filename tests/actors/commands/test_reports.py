"""`heyday preview` and `heyday explain`, called as on the command line."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from actors.commands.errors import WrongUsage
from actors.commands.preview import run as run_preview
from actors.commands.registry import parser_for
from service.domain.messages import Answer, Outcome, Status
from service.domain.users import Profile
from service.domain.zones import TZDATA_VERSION
from service.ports import Result
from tests.actors.commands.conftest import Run
from tests.conftest import Clock
from tests.service.adapters.postgres.conftest import Store
from tests.service.adapters.postgres.planned import announce, begin_at, plan_all

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)


async def ada(store: Store, clock: Clock, birthday: date = date(1990, 3, 11)) -> str:
    """The id of Ada Smith in London, created at noon, at which the clock stays."""
    await clock.rate(0)
    await begin_at(store, clock, NOON)
    user = await store.users.create(
        Profile("Ada", "Smith", "Ada@example.com", "Europe/London", {"birthday": birthday}), []
    )
    return str(user.id)


async def test_a_preview_is_a_table_for_people(store: Store, clock: Clock, heyday: Run) -> None:
    """The last line is a summary."""
    user = await ada(store, clock)

    code, out, _ = await heyday("preview", "--from", "2027-03-11", "--to", "2027-03-12")

    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["SEND", "AT", "LOCAL", "ZONE", "OCCASION", "USER", "STATUS"]
    assert lines[1].split() == [
        "2027-03-11T09:00:00Z", "2027-03-11", "09:00", "Europe/London", "birthday", user, "expected"
    ]  # fmt: skip
    assert lines[2:] == ["    Ada Smith <Ada@example.com>: Hey, Ada Smith it's your birthday", "1 in all: 1 expected"]


async def test_a_control_character_of_a_text_does_nothing_to_the_terminal(
    store: Store, clock: Clock, heyday: Run
) -> None:
    """A text may be anything that an operator has stored."""
    await ada(store, clock)
    await heyday("occasions", "set", "birthday", "--text", "\x1b[2JHey")

    _, out, _ = await heyday("preview", "--from", "2027-03-11", "--to", "2027-03-12")

    assert "Ada Smith <Ada@example.com>: \\x1b[2JHey\n" in out


async def test_a_preview_shows_the_holds_of_its_occasion(store: Store, clock: Clock, heyday: Run) -> None:
    """A hold of another occasion says nothing about these greetings."""
    await ada(store, clock)
    await heyday("hold", "--occasion", "anniversary", "--reason", "the text is wrong")
    await heyday("hold", "--occasion", "birthday", "--reason", "a test")

    _, of_one, _ = await heyday("preview", "--occasion", "birthday")
    _, of_all, _ = await heyday("preview")

    assert ("birthday is held since" in of_one, "anniversary is held since" in of_one) == (True, False)
    assert ("birthday is held since" in of_all, "anniversary is held since" in of_all) == (True, True)


async def test_a_preview_is_lines_of_json_for_programs(store: Store, clock: Clock, heyday: Run) -> None:
    """The items are those of the API. The default period is the next day."""
    user = await ada(store, clock)

    code, out, _ = await heyday("preview", "--json")
    _, nobody, _ = await heyday("preview", "--json", "--occasion", "anniversary", "--from", "2027-03-11T00:00:00+01:00")
    _, of_user, _ = await heyday("preview", "--json", "--user", user, "--occasion", "birthday")

    assert code == 0
    assert [json.loads(line)["userId"] for line in out.splitlines()] == [user]
    assert nobody == ""
    assert of_user == out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["preview", "--from", "yesterday"], 2, "expected an instant"),
        (["preview", "--from", "2027-03-11T09:00:00"], 2, "expected an instant"),
        (["preview", "--from", "2020-01-01"], 2, "--from: Expected no instant more than 366 days ago"),
        (["preview", "--to", "2040-01-01"], 2, "--to: Expected no instant more than 731 days ahead"),
        (["preview", "--from", "2027-03-11", "--to", "2027-03-11"], 2, "--to: expected an instant after --from"),
        (["preview", "--occasion", "wedding"], 2, "expected one of anniversary, birthday"),
        (["explain", "ada"], 2, "expected the id of a user"),
        (["explain", "ada"], 2, "`heyday call '/api/v1/users?q=NAME'` finds users by a part of the name"),
        (["explain", "nobody@example.com"], 1, "no user has the address"),
        (["explain", "01936f3a-7c1e-7b52-9d3e-2a4f6c8e0b11"], 1, "there is no user"),
    ],
)
async def test_wrong_usage_has_exit_code_2_and_a_missing_user_has_1(
    store: Store,
    clock: Clock,
    heyday: Run,
    words: list[str],
    code: int,
    said: str,
) -> None:
    """Each message says what was expected."""
    await clock.set(NOON)

    found, out, err = await heyday(*words)

    assert (found, out) == (code, "")
    assert said in err


async def test_a_zone_that_is_not_installed_is_one_line(store: Store, clock: Clock, heyday: Run) -> None:
    """A node with newer zone data stored it."""
    user = await ada(store, clock)
    await store.fetch("update users set timezone = 'Europe/Camelot'")

    code, out, err = await heyday("explain", user)

    assert (code, out) == (1, "")
    assert err == f"heyday: the zone data of this installation, {TZDATA_VERSION}, has no zone 'Europe/Camelot'\n"


async def test_a_database_that_is_away_is_one_line(heyday: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It causes no traceback."""
    monkeypatch.setenv("HEYDAY_DATABASE_URL", "postgresql://127.0.0.1:1/heyday")

    code, out, err = await heyday("preview")

    assert (code, out) == (1, "")
    assert err.startswith("heyday: postgres is unavailable")
    assert len(err.splitlines()) == 1


async def test_every_mistake_of_the_configuration_is_reported(heyday: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that the command does not need are not required."""
    monkeypatch.delenv("HEYDAY_DATABASE_URL")
    monkeypatch.setenv("HEYDAY_LATE_LIMIT", "long")

    code, _, err = await heyday("explain", "ada@example.com")

    assert code == 2
    assert "HEYDAY_DATABASE_URL is not set" in err
    assert "HEYDAY_LATE_LIMIT='long'" in err


async def test_an_explanation_covers_last_year_this_year_and_next_year(
    store: Store,
    clock: Clock,
    heyday: Run,
) -> None:
    """The address may be in any case. Each year has its own reason."""
    user = await ada(store, clock)
    await announce(store, NOON + timedelta(days=2))
    await plan_all(store)
    nine = datetime(2027, 3, 11, 9, tzinfo=UTC)
    await clock.set(nine)
    node = await store.nodes.enter("node-1")
    due = await store.messages.claim_due(fence=1, incarnation=node, limit=9, late_limit=timedelta(hours=48))
    claimed = await store.messages.claim_for_sending(due.queued, incarnation=node)
    refused = Answer(Outcome.PERMANENT_FAILURE, 0.25, 422, "no such mailbox")
    await store.messages.record([Result(claimed[0].claim, Status.FAILED, refused, 1.0)], at=1.5)

    code, text, _ = await heyday("explain", "ada@EXAMPLE.com")
    _, as_json, _ = await heyday("explain", user, "--json")

    assert code == 0
    assert text.startswith(f"User {user} in Europe/London, created 2027-03-10 12:00:00.\n")
    assert "birthday 2026: The user was created 2027-03-10 12:00:00 in Europe/London, not before the instant" in text
    assert (
        "birthday 2027: The message failed at attempt 1 (2027-03-11 09:00:00 in Europe/London): no such mailbox. "
        "It can be redriven.\n"
    ) in text
    assert "attempt    number 1, service primary, node node-1, outcome permanent_failure, statusCode 422" in text
    assert "birthday 2028: There is no message yet: planning makes it" in text
    assert "anniversary 2027: There is no date for it.\n" in text
    days = {(day["occasion"], day["localYear"]): day for day in json.loads(as_json)["days"]}
    assert days["birthday", 2027]["leftOut"] == "failed"
    assert [event["event"] for event in days["birthday", 2027]["message"]["timeline"]][-1] == "failed"


@pytest.mark.parametrize(("to_fallback", "by"), [(True, ", by the fallback service"), (False, "")])
async def test_an_explanation_says_if_the_fallback_service_took_the_message(
    store: Store, clock: Clock, heyday: Run, to_fallback: bool, by: str
) -> None:
    """A person looks for it in the log of the right service."""
    await ada(store, clock)
    await announce(store, NOON + timedelta(days=2))
    await plan_all(store)
    await clock.set(datetime(2027, 3, 11, 9, tzinfo=UTC))
    due = await store.messages.claim_due(fence=1, incarnation=1, limit=9, late_limit=timedelta(hours=48))
    claimed = await store.messages.claim_for_sending(
        due.queued, incarnation=1, fallback=due.queued if to_fallback else ()
    )
    await store.messages.record([Result(claimed[0].claim, Status.SENT, Answer(Outcome.ACCEPTED, 0.25), 1.0)], at=1.0)

    _, text, _ = await heyday("explain", "ada@example.com")

    at = "2027-03-11 09:00:00 in Europe/London"
    assert f"birthday 2027: The message was sent {at}{by}. It was due {at}.\n" in text


async def test_an_explanation_names_the_limits_that_a_due_message_waits_for(
    store: Store,
    clock: Clock,
    heyday: Run,
) -> None:
    """A person may have lowered the rate and forgotten it. A level of the log, and what was removed, slow nothing."""
    await ada(store, clock)
    await announce(store, NOON + timedelta(days=2))
    await plan_all(store)
    await heyday("limits", "set", "--email-rate", "5/h", "--email-concurrency", "2", "--log-level", "debug")
    _, before, _ = await heyday("explain", "ada@example.com")
    await clock.set(datetime(2027, 3, 11, 9, 20, tzinfo=UTC))
    _, during, _ = await heyday("explain", "ada@example.com")
    await heyday("limits", "remove", "email-concurrency")
    await heyday("limits", "set", "--email-rate", "off")
    _, after, _ = await heyday("explain", "ada@example.com")

    due = "birthday 2027: The message has been due since 2027-03-11 09:00:00 in Europe/London, and no node"
    assert "The message is planned and leaves at the instant" in before
    assert "limit" not in before
    (line,) = [line for line in during.splitlines() if line.startswith(due)]
    assert "since 2027-03-10 12:00:00 in Europe/London, all nodes together begin at most 5/h calls." in line
    assert "since 2027-03-10 12:00:00 in Europe/London, each node has at most 2 calls under way." in line
    assert line.count("By a limit of ") == 2
    assert due in after
    assert "limit" not in after


async def test_a_reader_that_closes_the_pipe_is_no_failure(store: Store, clock: Clock) -> None:
    """`heyday preview | head` is common."""
    await begin_at(store, clock, NOON)
    await store.fetch(
        """
        with made as (
            insert into users (first_name, last_name, email, email_key, timezone)
            select 'Ada', 'Smith', n::text, n::text, 'UTC' from generate_series(1, 3000) n returning id
        )
        insert into occasion_dates (user_id, occasion, date) select id, 'birthday', '1990-03-11' from made
        """
    )
    command = [sys.executable, "-m", "actors.cli", "preview"]
    environment = {**os.environ, "HEYDAY_DATABASE_URL": store.dsn}

    def run() -> tuple[int, bytes]:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=Path(__file__).parents[3]
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            said = process.stderr.read()
            return process.wait(timeout=30), said

    assert await asyncio.to_thread(run) == (0, b"")


@pytest.mark.parametrize(
    "words",
    ["--from 2027-01-01", "--to 2027-01-01", "--occasion x", f"--user {UUID(int=1)}", "--deleted",
     "--as-if-down 2027-01-01 2027-01-02"],
)  # fmt: skip
def test_a_filter_without_effect_on_the_zone_data_is_refused(words: str) -> None:
    """It seemed to have one."""
    args = parser_for(["preview"]).parse_args(["preview", "--tzdata-diff", *words.split()])

    with pytest.raises(WrongUsage, match="has no effect with --tzdata-diff"):
        run_preview(args, {})
