"""The row by which a database is recognised, and where PostgreSQL says that it is."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import asyncpg

from actors.lease import Lease
from actors.recognition import Recognition
from service.adapters.postgres.cluster import PostgresCluster, look_through
from service.adapters.postgres.connection import Database
from service.domain.cluster import Identity
from service.ports import Recalled
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


class EmptiedRedis:
    """It remembers nothing."""

    async def recall(self) -> Recalled:
        return Recalled(None, None)

    async def remember(self, identity: Identity) -> None:
        pass


async def test_a_connection_to_another_database_ends_the_lease_before_anything_is_asked_through_it(
    store: Store, servers: Servers
) -> None:
    """A node looks at its database before each beat; within the second and a half after it, a backup that was put in
    its place would have been sent. A connection that is merely a new one changes nothing."""
    lease = Lease()
    pool = Database(store.dsn, size=2, opened=lambda one: recognition.opened(partial(look_through, one)))
    recognition = Recognition(PostgresCluster(pool), EmptiedRedis(), name=None)
    recognition.on_other = lease.end
    await pool.open()
    await recognition.check()
    lease.renew(1, lease.now())
    name = store.dsn.rsplit("/", 1)[1]
    await store.database.close()
    admin = await asyncpg.connect(servers.postgres.dsn("postgres"))
    cut = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1"

    await admin.fetch(cut, name)
    assert await pool.value("select current_database()") == name
    assert lease.holds(1)

    asked_at = lease.now()
    await admin.fetch(cut, name)
    await admin.execute(f'create database "{name}_backup" template "{name}"')
    await admin.execute(f'alter database "{name}" rename to "{name}_broken"')
    await admin.execute(f'alter database "{name}_backup" rename to "{name}"')
    async with pool.connection():
        assert not lease.holds(1)
    lease.renew(1, asked_at)  # a beat that was asked for before is taken by the backup
    assert not lease.holds(1)

    await pool.close()
    await admin.execute(f'drop database "{name}_broken" with (force)')
    await admin.close()
