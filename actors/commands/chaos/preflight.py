"""Whether servers that somebody has given are empty: a rehearsal must not meet real users, or anybody's work."""

from __future__ import annotations

from actors.chaos.servers import Servers
from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load

_SQL = load("stage.sql", __package__)


class NotEmpty(Exception):
    """These servers are not for a rehearsal; the message says why."""


async def require_empty(servers: Servers, database: Database) -> None:
    """Return when database, Redis and queue hold nothing of heyday's. Raises NotEmpty, and Unavailable."""
    # Before the first migration there is nothing to count; half a schema is somebody's, and counting fails.
    row = await database.row(_SQL.emptiness) if await database.value(_SQL.has_tables) else None
    if row is not None and (row["users"] or row["messages"] or row["nodes"]):
        raise NotEmpty(
            f"the database has {row['users']} users, {row['messages']} messages and {row['nodes']} living nodes: "
            "create an empty one for the rehearsal"
        )
    if keys := await servers.count_keys():
        raise NotEmpty(f"Redis has {keys} keys of heyday's: use an empty one, or another number of its databases")
    consumers, bundles = await servers.queue_state()
    if consumers or bundles:
        raise NotEmpty(
            f"the delivery queue has {consumers} consumers and {bundles} bundles: use another virtual host of RabbitMQ"
        )
