"""The row by which a database is recognised, and where PostgreSQL says that it is."""

from __future__ import annotations

from datetime import timedelta

import asyncpg

from service.adapters.postgres.cluster import PostgresCluster
from service.adapters.postgres.connection import Database
from tests.adapters.postgres.conftest import Store
from tests.servers import Servers


async def test_many_nodes_make_one_identity(store: Store) -> None:
    """They start at the same time."""
    row = PostgresCluster(store.database)

    assert await row.make("production") == await row.make("another") == (await row.look()).identity
    assert (await row.look()).identity is not None


async def test_a_generation_is_as_long_with_ten_nodes_as_with_one(store: Store) -> None:
    """Otherwise the slack of one generation would shrink with every node."""
    row = PostgresCluster(store.database)
    made = await row.make(None)
    here = (await row.look()).here
    assert await row.mark(made, at_least=0, here=here, name=None) == made

    await store.fetch("update cluster_identity set marked_at = marked_at - interval '11 seconds'")
    marked = [await row.mark(made, at_least=0, here=here, name=None) for _ in range(10)]

    assert {one.generation for one in marked} == {made.generation + 1}


async def test_a_clock_that_jumped_back_does_not_stop_the_generations(store: Store) -> None:
    """The row was marked in the future then."""
    row = PostgresCluster(store.database)
    made = await row.make(None)
    await store.fetch("update cluster_identity set marked_at = marked_at + $1::interval", timedelta(hours=1))

    marked = await row.mark(made, at_least=50, here=(await row.look()).here, name="production")

    assert (marked.generation, marked.name) == (51, "production")


async def test_a_copy_of_a_database_is_elsewhere(store: Store, servers: Servers) -> None:
    """Even on the same server; and so is a table that was restored into the same database."""
    row = PostgresCluster(store.database)
    home = (await row.make(None)).place
    name = store.dsn.rsplit("/", 1)[1]
    await store.database.close()
    admin = await asyncpg.connect(servers.postgres.dsn("postgres"))
    await admin.execute(f'create database "{name}_copy" template "{name}"')
    copy = Database(servers.postgres.dsn(f"{name}_copy"), size=4)
    await copy.open()

    seen = await PostgresCluster(copy).look()

    assert seen.identity is not None
    assert seen.identity.place == home
    assert seen.here.database != home.database
    assert seen.here.timeline == home.timeline
    await copy.fetch("create table kept as table cluster_identity")
    await copy.fetch("alter table cluster_identity rename to was")
    await copy.fetch("create table cluster_identity (like was including all)")
    assert (await PostgresCluster(copy).look()).here.database != seen.here.database
    await copy.close()
    await admin.execute(f'drop database "{name}_copy" with (force)')
    await admin.close()
