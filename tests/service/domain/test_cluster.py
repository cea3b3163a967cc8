"""Which databases are refused, and which are the same one somewhere else."""

from __future__ import annotations

from uuid import UUID

import pytest

from service.domain.cluster import Finding, Identity, Memory, Place, judge

OURS, THEIRS = UUID(int=1), UUID(int=2)
HOME, ELSEWHERE = Place("server/1/2", 1), Place("server/9/2", 1)
PROMOTED = Place("server/1/2", 2)
SILENT = Place("1/2", None)


def row(generation: int = 100, *, name: str | None = None, place: Place = HOME) -> Identity:
    """The row of our cluster, written at home."""
    return Identity(OURS, name, generation, place)


def ours(generation: int = 100) -> Memory:
    """What a witness of our cluster remembers."""
    return Memory(OURS, generation)


@pytest.mark.parametrize(
    ("case", "identity", "here", "memory", "in_use", "finding"),
    [
        ("a fresh database and an empty Redis", None, HOME, None, None, Finding.NEW),
        ("every day", row(), HOME, ours(), HOME.database, Finding.SAME),
        ("Redis was emptied", row(), HOME, None, None, Finding.SAME),
        ("Redis came back from an old snapshot", row(), HOME, ours(7), None, Finding.SAME),
        ("Redis was told a moment before the look", row(100), HOME, ours(101), None, Finding.SAME),
        ("files of yesterday", row(100), HOME, ours(8000), None, Finding.OLDER),
        ("files of yesterday, the nodes still at work", row(100), HOME, ours(8000), HOME.database, Finding.OLDER),
        ("a dump of yesterday", row(100), ELSEWHERE, ours(8000), None, Finding.OLDER),
        ("a dump, and Redis was emptied", row(), ELSEWHERE, None, None, Finding.COPY),
        ("a dump restored where Redis has a snapshot of last month", row(), ELSEWHERE, ours(50), None, Finding.COPY),
        ("a move by dump while every node was stopped", row(), ELSEWHERE, ours(), None, Finding.MOVED),
        ("a copy beside the database at work", row(), ELSEWHERE, ours(), HOME.database, Finding.IN_USE_ELSEWHERE),
        ("the database that was left for its copy", row(), HOME, ours(), ELSEWHERE.database, Finding.IN_USE_ELSEWHERE),
        ("a standby was promoted, nothing lost", row(), PROMOTED, ours(), HOME.database, Finding.MOVED),
        ("a standby was promoted that lacks the last seconds", row(99), PROMOTED, ours(), None, Finding.MOVED),
        ("a standby was promoted that lacks minutes", row(90), PROMOTED, ours(), None, Finding.OLDER),
        ("recovered to a point in time, Redis emptied", row(), PROMOTED, None, None, Finding.RECOVERED),
        ("Redis of another cluster", row(), HOME, Memory(THEIRS, 100), None, Finding.OTHER_CLUSTER),
        ("a fresh database with a Redis in use", None, HOME, None, ELSEWHERE.database, Finding.OTHER_CLUSTER),
        ("a database older than its identity", None, HOME, ours(), None, Finding.OTHER_CLUSTER),
        ("a server that does not tell its timeline", row(place=SILENT), SILENT, None, None, Finding.SAME),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_each_case_is_told_apart(
    case: str,
    identity: Identity | None,
    here: Place,
    memory: Memory | None,
    in_use: str | None,
    finding: Finding,
) -> None:
    """Too lax, and friends are greeted again; too strict, and a failover at night stops the greetings."""
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
    """It recognises even a copy of every file: the configuration of the copy differs."""
    assert judge(row(name=of_database), HOME, redis=ours(), name=of_node).refused is refused


@pytest.mark.parametrize(
    ("here", "row_says", "node_saw", "finding"),
    [
        (HOME, 100, 100, Finding.SAME),
        (HOME, 100, 99, Finding.SAME),
        (HOME, 99, 100, Finding.OLDER),
        (PROMOTED, 100, 100, Finding.MOVED),
        (PROMOTED, 100, 90, Finding.RECOVERED),
        (ELSEWHERE, 100, 100, Finding.COPY),
    ],
)
def test_a_running_node_stands_in_for_a_redis_that_was_emptied(
    here: Place, row_says: int, node_saw: int, finding: Finding
) -> None:
    """So a promotion and a FLUSHALL at the same time still find a witness; but no node sees a move, which is made while
    nobody works, and nothing makes up for lost commits when Redis has lost its keys."""
    assert judge(row(row_says), here, redis=None, node=ours(node_saw)) is finding


def test_a_node_does_not_hold_its_memory_against_a_database_that_was_adopted() -> None:
    """Adopting gives the database a new id; the nodes that waited must work with it without a restart."""
    adopted = Identity(THEIRS, None, 5, HOME)

    assert judge(adopted, HOME, redis=Memory(THEIRS, 5), node=ours(99)) is Finding.SAME
    assert judge(adopted, HOME, redis=None, node=ours(99)) is Finding.SAME


def test_a_node_remembers_that_there_was_an_identity() -> None:
    """A database that was emptied under its feet is no fresh one."""
    assert judge(None, HOME, redis=None, node=ours()) is Finding.OTHER_CLUSTER


def test_a_node_that_runs_gives_the_slack_of_redis_too() -> None:
    """A standby was promoted that lacks the last second, which nodes saw: Redis has the keys of what was accepted."""
    assert judge(row(99), PROMOTED, redis=ours(100), node=ours(100)) is Finding.MOVED
