"""deploy/postgres/roles.sql: a node works with a role that can change nothing but rows."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from service.adapters.postgres.migrations import migrate
from tests.node.conftest import MakeWorld
from tests.node.harness import ROOT
from tests.servers import Servers

ROLES = ("heyday_node", "heyday_migrator", "heyday_backup")


@pytest.fixture
async def separated(servers: Servers) -> AsyncIterator[str]:
    """A database of which the migrator owns everything, and the superuser's URL of it."""
    name = f"roles_{uuid.uuid4().hex}"
    dsn = servers.postgres.dsn(name)
    await execute(servers.postgres.dsn("postgres"), f'create database "{name}"')
    roles = (ROOT / "deploy" / "postgres" / "roles.sql").read_text(encoding="utf-8")
    await execute(dsn, roles, *(f"alter role {role} password 'for-this-test'" for role in ROLES))
    yield dsn
    await execute(
        servers.postgres.dsn("postgres"),
        f'drop database if exists "{name}" with (force)',  # the world may have dropped it as its own
        *(f"drop owned by {role}; drop role {role}" for role in ROLES),
    )


async def execute(dsn: str, *statements: str) -> None:
    """Each of them, in a session of their own."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def as_role(dsn: str, role: str) -> str:
    """The URL of the same database for another role."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{role}:for-this-test@{parts.netloc.rpartition('@')[2]}"))


async def test_the_migrator_migrates_and_a_node_that_owns_nothing_greets(
    separated: str, another_world: MakeWorld
) -> None:
    """Whoever takes over a node cannot change the schema; a year that comes in sight is planned all the same."""
    assert await migrate(as_role(separated, "heyday_migrator"))
    world = await another_world()
    world.dsn = separated
    world.clock = type(world.clock)(separated)
    await world.begin()
    node = await world.node(DATABASE_URL=as_role(separated, "heyday_node"))
    await world.clock.set(await world.wave(20))
    await world.all_are("sent", 20)

    own = await asyncpg.connect(as_role(separated, "heyday_node"))
    try:
        await own.execute("select ensure_year(2999)")
        # As `heyday doctor --ledger` does with the books of the email service.
        await own.execute("create temporary table ledger ()")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await own.execute("drop table attempts")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await own.execute("create table mine ()")
    finally:
        await own.close()
    assert node.crashes() == []
