"""The row by which a database is recognised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.adapters.postgres.connection import Database, translating
from service.adapters.postgres.queries import load
from service.domain.cluster import Identity, Place
from service.ports import Seen

if TYPE_CHECKING:
    from asyncpg import Record

    from service.adapters.postgres.connection import Connection

_SQL = load("cluster.sql")

LOOK_WITHIN = 2.0
"""Seconds for a look: it comes before each beat of a node."""

MARK_EVERY = 10.0
"""Seconds of a generation."""


class PostgresCluster:
    """Implements `service.ports.ClusterRow`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self) -> Seen:
        return _seen(await self._database.row(_SQL.look, within=LOOK_WITHIN))

    async def make(self, name: str | None) -> Identity:
        await self._database.fetch(_SQL.make, name)
        return await self._identity()

    async def mark(self, identity: Identity, *, at_least: int, here: Place, name: str | None) -> Identity:
        await self._database.fetch(
            _SQL.mark, identity.id, identity.generation, at_least, here.database, here.timeline, name, MARK_EVERY
        )
        return await self._identity()

    async def adopt(self, *, above: int, name: str | None) -> Identity:
        await self._database.fetch(_SQL.adopt, above, name)
        return await self._identity()

    async def _identity(self) -> Identity:
        identity = (await self.look()).identity
        if identity is None:
            raise LookupError("the table cluster_identity has lost its row")
        return identity


async def look_through(connection: Connection) -> Seen:
    """What the database at the other end of that connection says. Raises Unavailable."""
    with translating():
        return _seen(await connection.fetchrow(_SQL.look, timeout=LOOK_WITHIN))


def _seen(row: Record | None) -> Seen:
    assert row is not None  # noqa: S101 - the function has one row
    here = Place(row["here"], row["here_timeline"])
    if row["id"] is None:
        return Seen(None, here, None)
    place = Place(row["place"], row["timeline"])
    return Seen(Identity(row["id"], row["name"], row["generation"], place), here, row["known_at"])
