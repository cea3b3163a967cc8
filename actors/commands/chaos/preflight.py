"""Refuses servers that are not empty: a rehearsal must not touch real users or their messages."""

from __future__ import annotations

from actors.commands.chaos.servers import Servers
from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load

_SQL = load("environment.sql", __package__)


class NotEmpty(Exception):
    """The servers hold data. The message says which."""


async def require_empty(servers: Servers, database: Database) -> None:
    """Return if database, Redis and queue hold no data of heyday. Raises NotEmpty, Unavailable."""
    # Before the first migration there is nothing to count. With half a schema, counting fails.
    row = await database.row(_SQL.preflight) if await database.value(_SQL.has_tables) else None
    if row is not None and (row["users"] or row["messages"] or row["nodes"]):
        raise NotEmpty(
            f"the database has {row['users']} users, {row['messages']} messages and {row['nodes']} living nodes: "
            "create an empty one for the rehearsal"
        )
    if keys := await servers.count_keys():
        raise NotEmpty(f"Redis has {keys} keys of heyday: use an empty Redis, or another of its numbered databases")
    consumers, bundles = await servers.queue_state()
    if consumers or bundles:
        raise NotEmpty(
            f"the delivery queue has {consumers} consumers and {bundles} bundles: use another virtual host of RabbitMQ"
        )
