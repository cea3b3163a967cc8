"""The log of an exception contains no personal data."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import pytest

from actors.runtime import ActorFailed
from service.api.http.problems import BUG, Problem
from service.ports import Unavailable
from service.telemetry.failures import MAX_FRAMES, as_dicts, as_text, summary

CANARY = "ada@example.com"
USER = """
    insert into users (first_name, last_name, email, email_key, timezone) values ('Ada', 'Lovelace', $1, $1, 'UTC')
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError(CANARY), "KeyError"),
        (ValueError(f"no date: {CANARY}"), "ValueError"),
        (UnicodeEncodeError("ascii", CANARY, 0, 1, "no"), "UnicodeEncodeError"),
        (NotImplementedError(CANARY), "NotImplementedError"),
        (Problem(BUG, CANARY), "Problem"),
        (ActorFailed("ticker", KeyError(CANARY)), "ActorFailed: ticker failed on this message: KeyError"),
        (Unavailable("redis", "refused"), "Unavailable: redis is unavailable: refused"),
        (ConnectionRefusedError(111, "refused"), "ConnectionRefusedError: [Errno 111] refused"),
        (AttributeError("None has no attribute 'x'"), "AttributeError: None has no attribute 'x'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_text_is_logged_only_where_it_is_safe(error: Exception, said: str) -> None:
    """Kind and place are enough to find a bug. The value may be the name of a user."""
    assert summary(error) == said


async def test_of_a_row_that_postgres_refuses_only_the_constraint_is_told(database: str) -> None:
    """The rest of the text has the values of the row, which are personal data."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(USER, CANARY)
        with pytest.raises(asyncpg.PostgresError) as caught:
            await connection.execute(USER, CANARY)
    finally:
        await connection.close()

    assert CANARY in str(caught.value)
    assert CANARY not in summary(caught.value) + str(as_dicts(caught.value)) + as_text(caught.value)
    assert "sqlstate 23505" in summary(caught.value)
    assert "constraint_name users_" in summary(caught.value)


def test_the_whole_chain_is_told_with_its_frames() -> None:
    """Every cause is logged with its place."""
    try:
        try:
            dict[str, str]()[CANARY]
        except KeyError as cause:
            raise ExceptionGroup(CANARY, [ValueError(CANARY)]) from cause
    except ExceptionGroup as error:
        error.add_note(CANARY)
        document, text = as_dicts(error), as_text(error)

    assert [one["exc_type"] for one in document] == ["ExceptionGroup", "KeyError"]
    assert [one["exc_type"] for one in document[0]["exceptions"][0]] == ["ValueError"]
    assert document[1]["frames"][-1]["name"] == "test_the_whole_chain_is_told_with_its_frames"
    assert text.index("KeyError") < text.rindex("ExceptionGroup") < text.rindex("ValueError")
    assert CANARY not in f"{document}{text}"


def test_an_endless_recursion_is_one_line_of_bounded_length() -> None:
    """A thousand frames would hide the two important ones, and exceed the limit of collectors."""

    def again() -> None:
        again()

    try:
        again()
    except RecursionError as error:
        [document] = as_dicts(error)

    assert len(document["frames"]) == MAX_FRAMES


def test_exceptions_that_lead_to_each_other_end() -> None:
    """Some libraries make such circles, and logging must not hang the node."""
    one, other = KeyError("a"), KeyError("b")
    one.__cause__, other.__cause__ = other, one

    assert len(as_dicts(one)) == 2


@pytest.mark.parametrize("render", [as_dicts, as_text])
def test_an_exception_that_is_a_cause_of_itself_is_written_once(render: Callable[[BaseException], object]) -> None:
    """An exception group can be the cause of one of its members.

    Writing it never ended, so a failed import was not logged.
    """
    error = LookupError("x")
    error.__cause__ = ExceptionGroup("both", [error])

    written = str(render(error))

    assert written.count("ExceptionGroup") in (1, 2)
    assert written.count("LookupError") in (1, 2)
