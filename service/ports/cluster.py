"""The evidence of the cluster that a database belongs to: its own row, and Redis as a witness."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.cluster import DatabaseLocation, Identity, Memory
from service.ports.audit import Principal


@dataclass(frozen=True, slots=True)
class Seen:
    """The row, if there is one, where the database is now, and when, in business time, the row was last written."""

    identity: Identity | None
    here: DatabaseLocation
    known_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recalled:
    """The memory that Redis has of a cluster, and the database that nodes used in the last half minute."""

    memory: Memory | None
    in_use: str | None


class ClusterRow(Protocol):
    """The identity kept in the database. Every method raises Unavailable."""

    async def look(self) -> Seen:
        """The row, and the location of the database."""

    async def make(self, name: str | None) -> Identity:
        """Give the database an identity, unless another node has just done so. Returns the one it has."""

    async def mark(self, identity: Identity, *, at_least: int, here: DatabaseLocation, name: str | None) -> Identity:
        """Raise the generation above `at_least` and its own, and note place and name; once in `MARK_EVERY` seconds,
        by the first node. Returns the row as it is now."""

    async def adopt(self, *, above: int, name: str | None, by: Principal) -> Identity:
        """Make it the database of a new cluster, here, with a generation above `above`. The same
        transaction adds that to the audit log."""


class ClusterWitness(Protocol):
    """The memory of Redis. Every method raises Unavailable."""

    async def recall(self) -> Recalled:
        """The memory; empty after Redis was emptied, and when the stored value cannot be read."""

    async def remember(self, identity: Identity) -> None:
        """Remember that identity, and that its database is in use."""
