"""Which databases are refused, and which are the same database at another place."""

from __future__ import annotations

from uuid import UUID

import pytest

from service.domain.cluster import DatabaseCheck, DatabaseLocation, Identity, Memory, judge

OURS, THEIRS = UUID(int=1), UUID(int=2)
HOME, ELSEWHERE = DatabaseLocation("server/1/2", 1), DatabaseLocation("server/9/2", 1)
PROMOTED = DatabaseLocation("server/1/2", 2)
SILENT = DatabaseLocation("1/2", None)


def row(generation: int = 100, *, name: str | None = None, location: DatabaseLocation = HOME) -> Identity:
    """The row of this cluster, written at home."""
    return Identity(OURS, name, generation, location)


def ours(generation: int = 100) -> Memory:
    """The memory of a witness of this cluster."""
    return Memory(OURS, generation)


@pytest.mark.parametrize(
    ("case", "identity", "here", "memory", "in_use", "finding"),
    [
        ("a fresh database and an empty Redis", None, HOME, None, None, DatabaseCheck.NEW),
        ("every day", row(), HOME, ours(), HOME.database, DatabaseCheck.SAME),
        ("Redis was emptied", row(), HOME, None, None, DatabaseCheck.SAME),
        ("Redis came back from an old snapshot", row(), HOME, ours(7), None, DatabaseCheck.SAME),
        ("Redis was told a moment before the look", row(100), HOME, ours(101), None, DatabaseCheck.SAME),
        ("files of yesterday", row(100), HOME, ours(8000), None, DatabaseCheck.OLDER),
        ("files of yesterday, the nodes still at work", row(100), HOME, ours(8000), HOME.database, DatabaseCheck.OLDER),
        ("a dump of yesterday", row(100), ELSEWHERE, ours(8000), None, DatabaseCheck.OLDER),
        ("a dump, and Redis was emptied", row(), ELSEWHERE, None, None, DatabaseCheck.COPY),
        (
            "a dump restored where Redis has a snapshot of last month",
            row(),
            ELSEWHERE,
            ours(50),
            None,
            DatabaseCheck.COPY,
        ),
        ("a move by dump while every node was stopped", row(), ELSEWHERE, ours(), None, DatabaseCheck.MOVED),
        ("a copy beside the database at work", row(), ELSEWHERE, ours(), HOME.database, DatabaseCheck.IN_USE_ELSEWHERE),
        (
            "the database that was left for its copy",
            row(),
            HOME,
            ours(),
            ELSEWHERE.database,
            DatabaseCheck.IN_USE_ELSEWHERE,
        ),
        ("a standby was promoted, nothing lost", row(), PROMOTED, ours(), HOME.database, DatabaseCheck.MOVED),
        ("a standby was promoted that lacks the last seconds", row(99), PROMOTED, ours(), None, DatabaseCheck.MOVED),
        ("a standby was promoted that lacks minutes", row(90), PROMOTED, ours(), None, DatabaseCheck.OLDER),
        ("recovered to a point in time, Redis emptied", row(), PROMOTED, None, None, DatabaseCheck.RECOVERED),
        ("Redis of another cluster", row(), HOME, Memory(THEIRS, 100), None, DatabaseCheck.OTHER_CLUSTER),
        ("a fresh database with a Redis in use", None, HOME, None, ELSEWHERE.database, DatabaseCheck.OTHER_CLUSTER),
        ("a database older than its identity", None, HOME, ours(), None, DatabaseCheck.OTHER_CLUSTER),
        ("a server that does not tell its timeline", row(location=SILENT), SILENT, None, None, DatabaseCheck.SAME),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_each_case_is_told_apart(
    case: str,
    identity: Identity | None,
    here: DatabaseLocation,
    memory: Memory | None,
    in_use: str | None,
    finding: DatabaseCheck,
) -> None:
    """A rule that is too lax greets users again. One that is too strict stops greetings after a failover."""
    assert judge(identity, here, redis=memory, in_use=in_use) is finding, case


@pytest.mark.parametrize(
    ("of_database", "of_node", "refused"),
    [
        ("production", "production", False),
        ("production", "staging", True),
        ("production", None, True),
        (None, "production", False),
        (None, None, False),
    ],
)
def test_a_name_must_be_the_same_on_both_sides(of_database: str | None, of_node: str | None, refused: bool) -> None:
    """It detects even a copy of every file, because the copy's configuration differs."""
    assert judge(row(name=of_database), HOME, redis=ours(), name=of_node).refused is refused


@pytest.mark.parametrize(
    ("here", "row_says", "node_saw", "finding"),
    [
        (HOME, 100, 100, DatabaseCheck.SAME),
        (HOME, 100, 99, DatabaseCheck.SAME),
        (HOME, 99, 100, DatabaseCheck.OLDER),
        (PROMOTED, 100, 100, DatabaseCheck.MOVED),
        (PROMOTED, 100, 90, DatabaseCheck.RECOVERED),
        (ELSEWHERE, 100, 100, DatabaseCheck.COPY),
    ],
)
def test_a_running_node_stands_in_for_a_redis_that_was_emptied(
    here: DatabaseLocation, row_says: int, node_saw: int, finding: DatabaseCheck
) -> None:
    """A promotion and a FLUSHALL at the same time still leave a witness.

    No node sees a move, because none works then, and lost commits cannot be replaced without the keys in Redis.
    """
    assert judge(row(row_says), here, redis=None, node=ours(node_saw)) is finding


def test_a_node_does_not_hold_its_memory_against_a_database_that_was_adopted() -> None:
    """Adopting gives the database a new id. Waiting nodes must accept it without a restart."""
    adopted = Identity(THEIRS, None, 5, HOME)

    assert judge(adopted, HOME, redis=Memory(THEIRS, 5), node=ours(99)) is DatabaseCheck.SAME
    assert judge(adopted, HOME, redis=None, node=ours(99)) is DatabaseCheck.SAME


def test_a_node_remembers_that_there_was_an_identity() -> None:
    """A database that was emptied while the node ran is not a new one."""
    assert judge(None, HOME, redis=None, node=ours()) is DatabaseCheck.OTHER_CLUSTER


def test_a_node_that_runs_gives_the_slack_of_redis_too() -> None:
    """A promoted standby lacks the last second, which nodes have seen. Redis has the keys of accepted messages."""
    assert judge(row(99), PROMOTED, redis=ours(100), node=ours(100)) is DatabaseCheck.MOVED
