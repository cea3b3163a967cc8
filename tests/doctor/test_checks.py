"""Each check finds what is wrong when it is wrong, and the exit code says whether anything is."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from redis.asyncio import Redis

from actors.doctor.remarks import Level, examine, well
from service.adapters.postgres.migrations import migrate
from service.adapters.rabbitmq import RabbitMQDeliveryQueue
from service.email_stub import EmailStub
from service.embedded.postgres import UNWRITTEN, PostgresServer
from service.embedded.server import Server
from tests.adapters.postgres.conftest import Store
from tests.doctor.conftest import Run
from tests.node.harness import eventually

PLANNED = "update planning set up_to = business_now() + interval '40 hours'"


def said(out: str, mark: str) -> str:
    """The remarks of that mark."""
    return "\n".join(line for line in out.splitlines() if line.startswith(f"  {mark}"))


async def test_when_all_is_well_the_exit_code_says_so(store: Store, doctor: Run, stub: EmailStub) -> None:
    """Warnings apart; and nothing was sent to find out."""
    await store.fetch(PLANNED)

    code, out = await doctor()

    assert (code, said(out, "BAD")) == (0, "")
    names = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert names[:-1] == ["settings", "postgres", "redis", "rabbitmq", "email service", "cluster", "nodes", "tzdata"]
    assert re.fullmatch(r"All well, \d+ warnings\.", names[-1])
    assert "no node is running" in said(out, "warn")
    assert stub.ledger.requests == 0


async def test_programs_get_the_same_as_json(store: Store, doctor: Run) -> None:
    """One object, with a level for all of it and for each check."""
    await store.fetch("delete from fences")

    code, out = await doctor("--json")

    answer = json.loads(out)
    levels = {check["check"]: check["level"] for check in answer["checks"]}
    assert (code, answer["level"], levels["postgres"], levels["redis"]) == (1, "bad", "bad", "warning")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update planning set up_to = business_now() - interval '1 minute'", "which has passed"),
        ("delete from fences", "has lost the row of the ticker"),
        ("delete from schema_migrations where number = 2", "the schema lacks 0002_api.sql"),
        ("select drop_year(1)", "there is no partition for"),
        (
            "create or replace function business_now() returns timestamptz language sql stable as "
            "$$ select statement_timestamp() + interval '1 hour' $$",
            "the business clock was moved",
        ),
        ("alter table messages rename to messages_", "run `heyday migrate`"),
    ],
)
async def test_what_is_wrong_in_postgresql_is_bad(store: Store, doctor: Run, statement: str, words: str) -> None:
    """Each would keep greetings from leaving, or send them at the wrong time."""
    await store.fetch(PLANNED)
    await store.fetch(
        """
        create function drop_year(ahead integer) returns void language plpgsql as $$
        begin
            execute format('drop table messages_%s', extract(year from business_now())::integer + ahead);
        end $$
        """
    )
    await store.fetch(statement)

    code, out = await doctor()

    assert code == 1
    assert words in said(out, "BAD")


async def test_what_waits_for_a_person_is_a_warning(store: Store, doctor: Run) -> None:
    """Nothing is broken, and somebody has to decide."""
    await store.fetch(PLANNED)
    ids = await store.due(3)
    await store.fetch("update messages set status = 'unknown', attempt = 1, ended_at = now() where id = any($1)", ids)

    code, out = await doctor()

    assert code == 0
    assert "3 messages are unknown and wait for a person" in said(out, "warn")


async def test_a_role_that_may_not_do_what_a_node_does_is_found(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Least of all on New Year's Eve, when the partition of the next year cannot be made."""
    role = f"clerk_{store.dsn[-8:]}"
    await store.fetch(f"create role {role} login password 'clerk'")
    await store.fetch(f"grant select on all tables in schema public to {role}")
    await store.fetch("revoke execute on function ensure_year(integer) from public")
    await store.fetch(PLANNED)
    monkeypatch.setenv("HEYDAY_DATABASE_URL", re.sub(r"//[^@]+@", f"//{role}:clerk@", store.dsn))

    code, out = await doctor()

    await store.fetch(f"drop owned by {role}")
    await store.fetch(f"drop role {role}")
    assert code == 1
    assert "this role may not read and write" in said(out, "BAD")
    assert "cannot make the partitions of the next year" in said(out, "BAD")


async def test_a_redis_that_throws_things_away_is_a_warning(store: Store, doctor: Run, redis_url: str) -> None:
    """Under pressure it would drop work, which is then late; nothing else."""
    await store.fetch(PLANNED)
    async with Redis.from_url(redis_url) as redis:
        await redis.config_set("maxmemory", "200mb")
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            code, out = await doctor()
        finally:
            await redis.config_set("maxmemory-policy", "noeviction")
            await redis.config_set("maxmemory", "0")

    assert code == 0
    assert "maxmemory-policy is allkeys-lru" in said(out, "warn")


async def test_rabbitmq_is_looked_at_without_making_anything(
    store: Store, doctor: Run, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queues that are missing, right, without consumers, and of another kind."""
    await store.fetch(PLANNED)
    monkeypatch.setenv("HEYDAY_RABBITMQ_URL", rabbitmq_url)
    _, before = await doctor()
    queue = RabbitMQDeliveryQueue(rabbitmq_url, prefetch=1)
    await queue.open()
    await queue.close()
    _, made = await doctor()
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete("heyday.dead")
        await channel.declare_queue("heyday.dead", durable=True)
        code, other = await doctor()
        await channel.queue_delete("heyday.dead")

    assert "there is no queue heyday.delivery yet" in said(before, "warn")
    assert "heyday.delivery is a quorum queue" in said(made, "ok")
    assert "0 bundles and no consumer" in said(made, "warn")
    assert code == 1
    assert "heyday.dead is not the quorum queue that heyday makes" in said(other, "BAD")


async def test_servers_that_are_away_are_said_to_be_so_and_the_rest_is_looked_at(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A doctor that ends at the first trouble is of no use in trouble."""
    await store.fetch(PLANNED)
    for name in ("REDIS_URL", "RABBITMQ_URL", "EMAIL_URL"):
        scheme = {"REDIS_URL": "redis", "RABBITMQ_URL": "amqp", "EMAIL_URL": "http"}[name]
        monkeypatch.setenv(f"HEYDAY_{name}", f"{scheme}://127.0.0.1:1")

    code, out = await doctor()

    assert code == 1
    for words in ("redis is unavailable", "rabbitmq is unavailable", "no connection to 127.0.0.1"):
        assert words in said(out, "BAD")
    assert "everything is planned up to" in said(out, "ok")


async def test_a_check_that_gets_no_answer_ends() -> None:
    """Somebody is waiting, perhaps at night."""

    async def hang() -> list[object]:
        await asyncio.Event().wait()
        return []

    found = await examine("hangs", hang, within=0.05)  # type: ignore[arg-type]

    assert (found.level, found.remarks[0].text) == (Level.BAD, "no answer within 0.05 s")


async def test_the_worst_remark_is_the_level_of_a_check() -> None:
    """And a check with nothing to say is well."""

    async def fine() -> list[object]:
        return [well("fine")]

    assert (await examine("fine", fine)).level is Level.WELL  # type: ignore[arg-type]


async def test_statistics_are_put_into_words(store: Store, doctor: Run) -> None:
    """A table read from end to end, and one full of dead rows, each with what to do."""
    made = [
        "create table crowd with (autovacuum_enabled = false) as select n, n as m from generate_series(1, 20000) n",
        "analyze crowd",
    ]
    for session in (made, ["select count(*) from crowd where m = 7"] * 12, ["update crowd set m = m + 1"]):
        connection = await asyncpg.connect(store.dsn)
        for statement in session:
            await connection.execute(statement)
        await connection.close()  # a session hands in what it has counted at the latest when it ends

    async def counted() -> str:
        code, out = await doctor("--queries")
        assert code == 0
        return out if "crowd has 20000 dead rows" in out else ""

    out = await eventually(counted)

    assert re.search(
        r"crowd \(\d+ rows\) was read from end to end 1[34] times: a query lacks an index", said(out, "warn")
    )
    assert re.search(r"crowd has 20000 dead rows beside \d+, never cleaned up", said(out, "warn"))
    assert "pg_stat_statements is not there" in said(out, "warn")


async def test_slow_statements_are_named(
    place: Path, made: list[Server], doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pg_stat_statements the doctor names what takes the time, ours by the name in the .sql files."""
    counting = PostgresServer(
        place / "postgres", settings=UNWRITTEN | {"shared_preload_libraries": "pg_stat_statements"}
    )
    made.append(counting)
    await counting.start()
    await migrate(counting.dsn())
    connection = await asyncpg.connect(counting.dsn())
    await connection.execute("create extension pg_stat_statements")
    await connection.execute("select pg_sleep(0.6)\n-- of_our_own")
    await connection.close()
    monkeypatch.setenv("HEYDAY_DATABASE_URL", counting.dsn())

    await doctor("--queries")
    code, out = await doctor("--queries")

    assert code == 0
    assert re.search(
        r"of_our_own: \d+% of the time, 1 calls, 6\d\d\.\d ms on average, .*: slow; look", said(out, "warn")
    )
    assert re.search(r"unused_indexes: \d+% of the time", said(out, "ok")), "named after statistics.sql"
    assert "pg_stat_statements is not there" not in out
