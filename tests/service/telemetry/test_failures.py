"""What is told of an exception quotes nobody, whoever raised it."""

from __future__ import annotations

import asyncpg
import pytest

from actors.api.problems import BUG, Problem
from actors.runtime import ActorFailed
from service.ports import Unavailable
from service.telemetry.failures import MOST_FRAMES, chain, summary, written

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
def test_a_text_is_told_only_where_it_quotes_nobody(error: Exception, said: str) -> None:
    """The kind and the place are enough to find a bug; the value that brought it out may be somebody's name."""
    assert summary(error) == said


async def test_of_a_row_that_postgres_refuses_only_the_constraint_is_told(database: str) -> None:
    """Its text goes on with the values of the row, which is everything that we know of somebody."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(USER, CANARY)
        with pytest.raises(asyncpg.PostgresError) as caught:
            await connection.execute(USER, CANARY)
    finally:
        await connection.close()

    assert CANARY in str(caught.value)
    assert CANARY not in summary(caught.value) + str(chain(caught.value)) + written(caught.value)
    assert "sqlstate 23505" in summary(caught.value)
    assert "constraint_name users_" in summary(caught.value)


def test_the_whole_chain_is_told_with_its_frames() -> None:
    """What came of what, and where."""
    try:
        try:
            dict[str, str]()[CANARY]
        except KeyError as cause:
            raise ExceptionGroup(CANARY, [ValueError(CANARY)]) from cause
    except ExceptionGroup as error:
        error.add_note(CANARY)
        document, text = chain(error), written(error)

    assert [one["exc_type"] for one in document] == ["ExceptionGroup", "KeyError"]
    assert [one["exc_type"] for one in document[0]["exceptions"][0]] == ["ValueError"]
    assert document[1]["frames"][-1]["name"] == "test_the_whole_chain_is_told_with_its_frames"
    assert text.index("KeyError") < text.rindex("ExceptionGroup") < text.rindex("ValueError")
    assert CANARY not in f"{document}{text}"


def test_an_endless_recursion_is_one_line_of_bounded_length() -> None:
    """A thousand frames would hide the two that matter, and go beyond what a collector takes."""

    def again() -> None:
        again()

    try:
        again()
    except RecursionError as error:
        [document] = chain(error)

    assert len(document["frames"]) == MOST_FRAMES


def test_exceptions_that_lead_to_each_other_end() -> None:
    """Libraries make such circles, and a log line must not hang the node."""
    one, other = KeyError("a"), KeyError("b")
    one.__cause__, other.__cause__ = other, one

    assert len(chain(one)) == 2
