"""Who knows which cluster a database belongs to: its own row, and Redis as a witness."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.cluster import Identity, Memory, Place


@dataclass(frozen=True, slots=True)
class Seen:
    """The row, if there is one, where the database is now, and when, in business time, the row was last written."""

    identity: Identity | None
    here: Place
    known_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recalled:
    """What Redis remembers of a cluster, and the database that nodes were working on half a minute ago or less."""

    memory: Memory | None
    in_use: str | None


class ClusterRow(Protocol):
    """The identity kept in the database. Every method raises Unavailable."""

    async def look(self) -> Seen:
        """What it says, and where it is."""

    async def make(self, name: str | None) -> Identity:
        """Give the database an identity, unless another node has just done so. Returns the one it has."""

    async def mark(self, identity: Identity, *, at_least: int, here: Place, name: str | None) -> Identity:
        """Raise the generation above `at_least` and its own, and note place and name; once in `MARK_EVERY` seconds,
        whoever is first. Returns what the row says now."""

    async def adopt(self, *, above: int, name: str | None) -> Identity:
        """Make it the database of a new cluster, here, with a generation above `above`."""


class ClusterWitness(Protocol):
    """What Redis remembers. Every method raises Unavailable."""

    async def recall(self) -> Recalled:
        """What it remembers; nothing after it was emptied, or when somebody wrote what cannot be read."""

    async def remember(self, identity: Identity) -> None:
        """Remember that identity, and that its database is in use."""
