"""The row that identifies a database, and its location in PostgreSQL."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import partial

import asyncpg

from service.adapters.postgres.cluster import PostgresCluster, look_through
from service.adapters.postgres.connection import Database
from service.domain.cluster import Identity
from service.node.cluster_guard import ClusterGuard
from service.node.lease import Lease
from service.ports import Recalled, Unavailable
from tests.servers import Servers
from tests.service.adapters.postgres.conftest import Store


async def test_many_nodes_make_one_identity(store: Store) -> None:
    """The nodes start at the same time."""
    row = PostgresCluster(store.database)

    assert await row.make("production") == await row.make("another") == (await row.look()).identity
    assert (await row.look()).identity is not None


async def test_a_generation_is_as_long_with_ten_nodes_as_with_one(store: Store) -> None:
    """Otherwise the tolerance of one generation would shrink with every node."""
    row = PostgresCluster(store.database)
    made = await row.make(None)
    here = (await row.look()).here
    assert await row.mark(made, at_least=0, here=here, name=None) == made

    await store.fetch("update cluster_identity set marked_at = marked_at - interval '11 seconds'")
    marked = [await row.mark(made, at_least=0, here=here, name=None) for _ in range(10)]

    assert {one.generation for one in marked} == {made.generation + 1}


async def test_a_clock_that_jumped_back_does_not_stop_the_generations(store: Store) -> None:
    """The row's time stamp is in the future then."""
    row = PostgresCluster(store.database)
    made = await row.make(None)
    await store.fetch("update cluster_identity set marked_at = marked_at + $1::interval", timedelta(hours=1))

    marked = await row.mark(made, at_least=50, here=(await row.look()).here, name="production")

    assert (marked.generation, marked.name) == (51, "production")


async def test_a_copy_of_a_database_is_elsewhere(store: Store, servers: Servers) -> None:
    """A copy on the same server counts, and so does a table restored into the same database."""
    row = PostgresCluster(store.database)
    home = (await row.make(None)).location
    name = store.dsn.rsplit("/", 1)[1]
    await store.database.close()
    admin = await asyncpg.connect(servers.postgres.dsn("postgres"))
    await admin.execute(f'create database "{name}_copy" template "{name}"')
    copy = Database(servers.postgres.dsn(f"{name}_copy"), size=4)
    await copy.open()

    seen = await PostgresCluster(copy).look()

    assert seen.identity is not None
    assert seen.identity.location == home
    assert seen.here.database != home.database
    assert seen.here.timeline == home.timeline
    await copy.fetch("create table kept as table cluster_identity")
    await copy.fetch("alter table cluster_identity rename to was")
    await copy.fetch("create table cluster_identity (like was including all)")
    assert (await PostgresCluster(copy).look()).here.database != seen.here.database
    await copy.close()
    await admin.execute(f'drop database "{name}_copy" with (force)')
    await admin.close()


class EmptiedRedis:
    """A Redis that was emptied."""

    async def recall(self) -> Recalled:
        return Recalled(None, None)

    async def remember(self, identity: Identity) -> None:
        pass


async def test_a_connection_to_another_database_ends_the_lease_before_its_first_query(
    store: Store, servers: Servers
) -> None:
    """A node checks its database before each heartbeat.

    In the 1.5 s between two checks, it could send from a backup that was put in its place. A new connection to the same
    database changes nothing.
    """
    lease = Lease()
    pool = Database(store.dsn, size=2, opened=lambda one: guard.opened(partial(look_through, one)))
    guard = ClusterGuard(PostgresCluster(pool), EmptiedRedis(), name=None)
    guard.on_database_changed = lease.end
    await pool.open()
    await guard.check()
    lease.renew(1, lease.now())
    name = store.dsn.rsplit("/", 1)[1]
    await store.database.close()
    admin = await asyncpg.connect(servers.postgres.dsn("postgres"))
    cut = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1"

    await admin.fetch(cut, name)
    assert await _database_of(pool) == name
    assert lease.holds(1)

    asked_at = lease.now()
    await admin.fetch(cut, name)
    await admin.execute(f'create database "{name}_backup" template "{name}"')
    await admin.execute(f'alter database "{name}" rename to "{name}_broken"')
    await admin.execute(f'alter database "{name}_backup" rename to "{name}"')
    async with pool.connection():
        assert not lease.holds(1)
    lease.renew(1, asked_at)  # a heartbeat that was sent before is accepted by the backup
    assert not lease.holds(1)

    await pool.close()
    await admin.execute(f'drop database "{name}_broken" with (force)')
    await admin.close()


async def _database_of(pool: Database) -> str:
    """The name of the database that the pool uses now.

    The first statement on a connection that the server has just ended is Unavailable. The connection is then gone.
    """
    for _ in range(2):
        with suppress(Unavailable):
            return str(await pool.value("select current_database()"))
    return str(await pool.value("select current_database()"))
