"""The row that identifies a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.adapters.postgres import audit
from service.adapters.postgres.connection import Database, translating
from service.adapters.postgres.queries import load
from service.domain.cluster import DatabaseLocation, Identity
from service.ports import AuditAction, Principal, Seen

if TYPE_CHECKING:
    from asyncpg import Record

    from service.adapters.postgres.connection import Connection

_SQL = load("cluster.sql")

LOOK_WITHIN = 2.0
"""Seconds for one check, which comes before each heartbeat."""

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

    async def mark(self, identity: Identity, *, at_least: int, here: DatabaseLocation, name: str | None) -> Identity:
        await self._database.fetch(
            _SQL.mark, identity.id, identity.generation, at_least, here.database, here.timeline, name, MARK_EVERY
        )
        return await self._identity()

    async def adopt(self, *, above: int, name: str | None, by: Principal) -> Identity:
        async with self._database.transaction() as connection:
            await connection.execute(_SQL.adopt, above, name)
            identity = _found(_seen(await connection.fetchrow(_SQL.look)))
            await audit.record(connection, by, AuditAction.DATABASE_ADOPTED, [identity.id])
        return identity

    async def _identity(self) -> Identity:
        return _found(await self.look())


async def look_through(connection: Connection) -> Seen:
    """The identity of the database behind this connection. Raises Unavailable."""
    with translating():
        return _seen(await connection.fetchrow(_SQL.look, timeout=LOOK_WITHIN))


def _found(seen: Seen) -> Identity:
    if seen.identity is None:
        raise LookupError("the table cluster_identity has lost its row")
    return seen.identity


def _seen(row: Record | None) -> Seen:
    assert row is not None  # noqa: S101 - the function has one row
    here = DatabaseLocation(row["here"], row["here_timeline"])
    if row["id"] is None:
        return Seen(None, here, None)
    location = DatabaseLocation(row["location"], row["timeline"])
    return Seen(Identity(row["id"], row["name"], row["generation"], location), here, row["known_at"])
