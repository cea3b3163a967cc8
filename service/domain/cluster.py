"""Whether a database is the one that this cluster worked with, or was restored, cloned or mistaken for it.

Three know something: the row in the database, the place where that database is now, and a witness outside of it, which
is Redis or the memory of a node that runs. docs/decisions/0007-cluster-identity.md goes through the cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

SLACK = 1
"""Generations by which row and witness may differ: one is written after the other, and a standby that is promoted may
lack the last. Redis knows every acceptance of so short a time by its key, so none of them is repeated."""


@dataclass(frozen=True, slots=True)
class Place:
    """Server, database and table by their numbers; `timeline` is the server's, None where it does not tell."""

    database: str
    timeline: int | None


@dataclass(frozen=True, slots=True)
class Identity:
    """What the row says: whose database it is, how far it has come, and where it was then."""

    id: UUID
    name: str | None
    generation: int
    place: Place


@dataclass(frozen=True, slots=True)
class Memory:
    """What a witness remembers: the cluster, and the latest generation that was committed."""

    id: UUID
    generation: int


class Finding(StrEnum):
    """What a database turns out to be."""

    NEW = "new"
    """Nobody has worked with it: an identity is made."""
    SAME = "same"
    """It is the one."""
    MOVED = "moved"
    """It is the one, and is elsewhere now, with nothing lost: a witness says so."""
    OTHER_NAME = "other_name"
    OTHER_CLUSTER = "other_cluster"
    OLDER = "older"
    IN_USE_ELSEWHERE = "in_use_elsewhere"
    COPY = "copy"
    RECOVERED = "recovered"

    @property
    def refused(self) -> bool:
        """Whether nothing may be sent from it before a person has adopted it."""
        return self not in {Finding.NEW, Finding.SAME, Finding.MOVED}


REASONS = {
    Finding.OTHER_NAME: "this database and this node are not of the same HEYDAY_CLUSTER",
    Finding.OTHER_CLUSTER: "this database and this Redis are not of the same cluster",
    Finding.OLDER: "this database knows less than was done with it: it was restored from a backup, or has lost commits",
    Finding.IN_USE_ELSEWHERE: "nodes with this Redis are working on another database",
    Finding.COPY: "this database is a copy: restored or cloned from a dump, and nobody can say that it is complete",
    Finding.RECOVERED: "this server was recovered from a backup, or promoted, and nobody can say that nothing was lost",
}
"""What a refusal says."""


def judge(
    identity: Identity | None,
    here: Place,
    *,
    redis: Memory | None,
    node: Memory | None = None,
    in_use: str | None = None,
    name: str | None = None,
) -> Finding:
    """What the database at `here` is, given its row, what `redis` and this `node` remember, the place that nodes with
    this Redis are working on, and the name that this node was given."""
    elsewhere = in_use is not None and in_use != here.database
    if identity is None:
        return Finding.NEW if redis is None and node is None and not elsewhere else Finding.OTHER_CLUSTER
    if identity.name is not None and identity.name != name:
        return Finding.OTHER_NAME
    if redis is not None and redis.id != identity.id:
        return Finding.OTHER_CLUSTER
    if node is not None and node.id != identity.id:
        node = None  # the database was adopted since
    if _is_behind(identity, redis, node):
        return Finding.OLDER
    if elsewhere:
        return Finding.IN_USE_ELSEWHERE
    if here.database != identity.place.database:
        # A node that runs has seen no move: one is made while nobody works.
        return Finding.MOVED if _vouches(identity, redis) else Finding.COPY
    if _recovered(identity.place, here):
        return Finding.MOVED if _vouches(identity, redis) or _vouches(identity, node) else Finding.RECOVERED
    return Finding.SAME


def _is_behind(identity: Identity, redis: Memory | None, node: Memory | None) -> bool:
    """Whether commits are lost that a witness knows of. The slack is for Redis, whose keys make up for it."""
    if redis is not None:
        return max(redis.generation, node.generation if node else 0) > identity.generation + SLACK
    return node is not None and node.generation > identity.generation


def _vouches(identity: Identity, witness: Memory | None) -> bool:
    """Whether that witness has seen this generation, and so knows that nothing is missing."""
    return witness is not None and witness.generation >= identity.generation - SLACK


def _recovered(before: Place, now: Place) -> bool:
    return before.timeline is not None and now.timeline is not None and before.timeline != now.timeline
