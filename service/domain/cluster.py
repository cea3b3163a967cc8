"""Tells the database of this cluster from one that was restored, cloned or configured by mistake.

There are three sources: the row in the database, the location of that database, and a witness outside of it. The
witness is Redis, or the memory of a running node. docs/decisions/0007-cluster-identity.md has the cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

SLACK = 1
"""Generations by which row and witness may differ.

They are written one after the other, and a promoted standby may lack the last one. That is harmless: for so short a
time Redis still has the dedupe key of every acceptance, so no greeting is sent twice.
"""


@dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """Server, database and table by their numbers; `timeline` is the server's, None where it does not tell."""

    database: str
    timeline: int | None


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity row: the database's cluster, its generation, and its location then."""

    id: UUID
    name: str | None
    generation: int
    location: DatabaseLocation


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a witness: the cluster, and the latest committed generation that it knows."""

    id: UUID
    generation: int


class DatabaseCheck(StrEnum):
    """The verdict about a database."""

    NEW = "new"
    """It has no identity yet: one is made."""
    SAME = "same"
    """It is the database of this cluster."""
    MOVED = "moved"
    """It is the database of this cluster at another place, and a witness confirms that nothing was lost."""
    OTHER_NAME = "other_name"
    OTHER_CLUSTER = "other_cluster"
    OLDER = "older"
    IN_USE_ELSEWHERE = "in_use_elsewhere"
    COPY = "copy"
    RECOVERED = "recovered"

    @property
    def refused(self) -> bool:
        """True if no node may send from it before a person has adopted it."""
        return self not in {DatabaseCheck.NEW, DatabaseCheck.SAME, DatabaseCheck.MOVED}


REASONS = {
    DatabaseCheck.OTHER_NAME: "this database and this node are not of the same HEYDAY_CLUSTER",
    DatabaseCheck.OTHER_CLUSTER: (
        "this database and this Redis are not of the same cluster: each deployment needs its own Redis database, "
        "such as redis://host/1"
    ),
    DatabaseCheck.OLDER: "this database was restored from a backup, or has lost commits",
    DatabaseCheck.IN_USE_ELSEWHERE: "nodes with this Redis are working on another database",
    DatabaseCheck.COPY: "this database is a copy, made from a dump or a clone, and may be incomplete",
    DatabaseCheck.RECOVERED: "this server was recovered from a backup, or promoted, and may have lost commits",
}
"""The text of each refusal."""


def judge(
    identity: Identity | None,
    here: DatabaseLocation,
    *,
    redis: Memory | None,
    node: Memory | None = None,
    in_use: str | None = None,
    name: str | None = None,
) -> DatabaseCheck:
    """Judge the database at the location `here`.

    `identity`: the row in that database. `redis`, `node`: what Redis and this node remember. `in_use`: the location of
    the database that nodes with this Redis are working on. `name`: the HEYDAY_CLUSTER of this node.
    """
    elsewhere = in_use is not None and in_use != here.database
    if identity is None:
        return DatabaseCheck.NEW if redis is None and node is None and not elsewhere else DatabaseCheck.OTHER_CLUSTER
    if identity.name is not None and identity.name != name:
        return DatabaseCheck.OTHER_NAME
    if redis is not None and redis.id != identity.id:
        return DatabaseCheck.OTHER_CLUSTER
    if node is not None and node.id != identity.id:
        node = None  # the database was adopted since
    if _is_behind(identity, redis, node):
        return DatabaseCheck.OLDER
    if elsewhere:
        return DatabaseCheck.IN_USE_ELSEWHERE
    if here.database != identity.location.database:
        # No node runs during a move, so a running node has seen none.
        return DatabaseCheck.MOVED if _vouches(identity, redis) else DatabaseCheck.COPY
    if _recovered(identity.location, here):
        return DatabaseCheck.MOVED if _vouches(identity, redis) or _vouches(identity, node) else DatabaseCheck.RECOVERED
    return DatabaseCheck.SAME


def _is_behind(identity: Identity, redis: Memory | None, node: Memory | None) -> bool:
    """True if a witness knows of lost commits. Redis allows a tolerance, because its keys replace the lost ones."""
    if redis is not None:
        return max(redis.generation, node.generation if node else 0) > identity.generation + SLACK
    return node is not None and node.generation > identity.generation


def _vouches(identity: Identity, witness: Memory | None) -> bool:
    """True if the witness has seen this generation, so that nothing is missing."""
    return witness is not None and witness.generation >= identity.generation - SLACK


def _recovered(before: DatabaseLocation, now: DatabaseLocation) -> bool:
    return before.timeline is not None and now.timeline is not None and before.timeline != now.timeline
