"""Each check finds its fault, errors set the exit code, and no server can make the doctor crash."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from redis.asyncio import Redis

from actors.cli import main
from actors.commands.doctor import checks, postgres, queries
from actors.commands.doctor.check_results import CheckReport, CheckResult, Level, ok, run_check
from actors.commands.doctor.checks import show
from actors.commands.sandbox.email_stub import EmailStub
from actors.commands.sandbox.servers.ports import free_port
from actors.commands.sandbox.servers.postgres import UNWRITTEN, PostgresServer
from actors.commands.sandbox.servers.relay import relayed
from actors.commands.sandbox.servers.server import Server
from service.adapters.postgres import connection as connections
from service.adapters.postgres import migrations
from service.adapters.postgres.checkup import PostgresCheckup
from service.adapters.postgres.migrations import migrate
from service.adapters.rabbitmq import RabbitMQDeliveryQueue
from service.ports import Unavailable
from service.settings import Secret, Settings
from tests.actors.commands.doctor.conftest import Run
from tests.fakes.mail_server import USER, MailServer
from tests.node.harness import eventually
from tests.service.adapters.postgres.conftest import Store

PLANNED = "update planning set planned_until = business_now() + interval '40 hours'"


def said(out: str, mark: str) -> str:
    """The results of that mark."""
    return "\n".join(line for line in out.splitlines() if line.startswith(f"  {mark}"))


@pytest.mark.parametrize(
    ("levels", "summary"),
    [
        ("ok", "All well."),
        ("warning", "No errors, 1 warning."),
        ("error ok", "Not well: 1 error, 0 warnings."),
        ("error warning error", "Not well: 2 errors, 1 warning."),
    ],
)
def test_the_summary_counts_what_was_found(levels: str, summary: str) -> None:
    """The last line is what a person reads first."""
    lines: list[str] = []
    results = tuple(CheckResult(Level(level), "a finding") for level in levels.split())

    show([CheckReport("a check", results, 0.1)], as_json=False, say=lines.append)

    assert lines[-1] == summary


async def test_the_exit_code_is_0_when_no_result_is_an_error(store: Store, doctor: Run, stub: EmailStub) -> None:
    """Warnings do not count. The email service gets no request for a greeting."""
    await store.fetch(PLANNED)

    code, out = await doctor()

    assert (code, said(out, "ERROR")) == (0, "")
    names = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert names[:-1] == [
        "settings",
        "postgres",
        "redis",
        "rabbitmq",
        "email service",
        "cluster",
        "nodes",
        "limits",
        "tzdata",
    ]
    assert re.fullmatch(r"No errors, \d+ warnings?\.", names[-1])
    assert "no node is running" in said(out, "warn")
    assert stub.ledger.requests == 0


@pytest.mark.parametrize(("rabbitmq", "names"), [(True, "due plan"), (False, "delivery due plan")])
async def test_the_streams_of_redis_are_checked_with_its_queue_if_it_is_used(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch, rabbitmq: bool, names: str
) -> None:
    """Without RabbitMQ a stream is the delivery queue, and its pending messages show who is behind."""
    if rabbitmq:
        monkeypatch.setenv("HEYDAY_RABBITMQ_URL", f"amqp://127.0.0.1:{free_port()}")

    _, out = await doctor()

    assert sorted(re.findall(r"the stream heyday:(\w+) has no consumer group", out)) == names.split()


async def test_json_has_a_level_for_the_whole_and_for_each_check(store: Store, doctor: Run) -> None:
    """A deployment pipeline reads it."""
    await store.fetch("delete from fencing_tokens")

    code, out = await doctor("--json")

    answer = json.loads(out)
    levels = {check["check"]: check["level"] for check in answer["checks"]}
    assert (code, answer["level"], levels["postgres"], levels["redis"]) == (1, "error", "error", "warning")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "update planning set planned_until = business_now() - interval '1 minute',"
            " send_at = '09:00', leap_day = 'feb28', rules_version = 1",
            "which has passed",
        ),
        ("delete from fencing_tokens", "the row of the ticker in the table fencing_tokens is missing"),
        ("delete from schema_migrations where number = 2", "the schema lacks 0002_api.sql"),
        ("delete from schema_migrations", "there is no schema of heyday yet: run `heyday migrate`"),
        ("select drop_year(1)", "there is no partition for"),
        (
            "create or replace function business_now() returns timestamptz language sql stable as "
            "$$ select statement_timestamp() + interval '1 hour' $$",
            "the business clock was moved",
        ),
        (
            "insert into set_aside (message_id, action, reason, look_again_at)"
            " values (uuid_v7(), 'claim_due', 'the page is damaged', business_now())",
            "the page is damaged; repair them",
        ),
        ("alter table messages rename to messages_", "run `heyday migrate`"),
    ],
)
async def test_a_fault_in_postgresql_is_an_error(store: Store, doctor: Run, statement: str, words: str) -> None:
    """Each fault stops greetings, or sends them at the wrong time."""
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
    assert words in said(out, "ERROR")


async def test_a_schema_of_a_newer_version_is_a_warning(store: Store, doctor: Run) -> None:
    """An older version was installed again, or this machine is not updated yet."""
    await store.fetch(PLANNED)
    await store.fetch("insert into schema_migrations (number, name, checksum) values (9999, '9999_next.sql', '')")

    code, out = await doctor()

    assert code == 0
    assert "a newer version of heyday has applied 9999_next.sql" in said(out, "warn")


async def test_too_few_connections_for_one_more_node_are_a_warning(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the two for heartbeats: else a node that seems to fit is refused its last connections."""
    await store.fetch(PLANNED)
    server = await PostgresCheckup(store.database).server()
    all_but_one = server.max_connections - server.reserved - 1
    monkeypatch.setenv("HEYDAY_DATABASE_CONNECTIONS", str(all_but_one))

    code, out = await doctor()

    assert code == 0
    assert f"1 nodes with {all_but_one + 2} each need up to" in said(out, "warn")


async def test_unknown_messages_are_a_warning(store: Store, doctor: Run) -> None:
    """Nothing is broken, but a person has to decide."""
    await store.fetch(PLANNED)
    ids = await store.due(3)
    await store.fetch("update messages set status = 'unknown', attempt = 1, ended_at = now() where id = any($1)", ids)

    code, out = await doctor()

    assert code == 0
    assert "3 messages are unknown and wait for your decision" in said(out, "warn")


async def test_missing_privileges_of_the_role_are_errors(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without them the partition of the next year cannot be created on New Year's Eve."""
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
    lacking = said(out, "ERROR")
    assert "run as the owner of the tables: GRANT INSERT, UPDATE, DELETE ON attempts, " in lacking
    assert f"GRANT INSERT ON audit TO {role};" in lacking
    assert f"GRANT EXECUTE ON FUNCTION ensure_year(integer) TO {role};" in lacking
    assert "schema_migrations" not in lacking


async def test_an_eviction_policy_that_deletes_work_is_a_warning(store: Store, doctor: Run, redis_url: str) -> None:
    """Deleted work is found again, but it is late."""
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


async def test_queues_are_checked_and_none_is_created(
    store: Store, doctor: Run, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing queues, correct queues, queues without consumers, and queues of another type."""
    await store.fetch(PLANNED)
    monkeypatch.setenv("HEYDAY_RABBITMQ_URL", rabbitmq_url)
    _, before = await doctor()
    queue = RabbitMQDeliveryQueue(rabbitmq_url, prefetch=1)
    await queue.open()
    await queue.close()
    _, made = await doctor()
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        for name in ("heyday.delivery", "heyday.dead"):
            await channel.queue_delete(name)
            await channel.declare_queue(name, durable=True)
        code, other = await doctor()
        for name in ("heyday.delivery", "heyday.dead"):
            await channel.queue_delete(name)

    assert "there is no queue heyday.delivery yet" in said(before, "warn")
    assert "heyday.delivery is a quorum queue" in said(made, "ok")
    assert "0 bundles and no consumer" in said(made, "warn")
    assert code == 1
    assert "heyday.delivery is not the quorum queue that heyday declares" in said(other, "ERROR")
    assert "heyday.dead has other settings than heyday's" in said(other, "warn")


async def test_queues_that_another_deployment_uses_are_an_error(
    store: Store, doctor: Run, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes of this deployment are refused by the broker's mark, and the remedy is named."""
    await store.fetch(PLANNED)
    monkeypatch.setenv("HEYDAY_RABBITMQ_URL", rabbitmq_url)
    stranger = RabbitMQDeliveryQueue(rabbitmq_url, prefetch=1, cluster=lambda: "another")
    await stranger.depth()
    await stranger.close()

    code, out = await doctor()

    assert code == 1
    assert "another deployment uses these queues: its cluster is another" in said(out, "ERROR")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--hold"], "--hold: expected --adopt with it"),
        (["--resend"], "--resend: expected --adopt with it"),
        (["--dry-run"], "--dry-run: expected --adopt with it"),
        (["--mend"], "--mend: expected --ledger with it"),
        (["--mend", "--adopt"], "--mend: expected --ledger with it"),
        (["--from", "2026-01-01"], "--from: expected --ledger with it"),
        (["--to", "2026-01-01"], "--to: expected --ledger with it"),
        (["--queries", "--adopt"], "--queries: not allowed with --adopt"),
        (["--adopt", "--json"], "--json: not allowed with --adopt"),
        (
            ["--ledger", "x", "--from", "2026-02-01", "--to", "2026-01-01"],
            "--to: expected an instant after --from",
        ),
    ],
)
def test_an_option_without_effect_is_wrong_usage(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """After `--hold` or `--mend` alone, a report with exit code 0 would look like a hold or a correction."""
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *words])

    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


async def test_a_new_database_is_no_error(store: Store, doctor: Run) -> None:
    """The doctor is run before the first node, and no greeting is late then."""
    await store.fetch("update planning set planned_until = business_now() - interval '1 minute'")

    code, out = await doctor()

    assert (code, said(out, "ERROR")) == (0, "")
    assert "nothing is planned yet: the first node plans; start a node" in said(out, "warn")


async def test_a_missing_schema_is_said_once(store: Store, doctor: Run) -> None:
    """Before the first migration every check of the database lacks it, and one sentence says what to do."""
    await store.fetch("drop schema public cascade")
    await store.fetch("create schema public")

    code, out = await doctor()

    assert code == 1
    assert "there is no schema of heyday yet: run `heyday migrate`" in said(out, "ERROR")
    assert said(out, "warn").count("not checked: see postgres") == 3
    assert "Not well: 1 error, " in out


async def test_an_unknown_variable_is_a_warning_with_the_nearest_name(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the warning, a misspelt name has no effect and no message."""
    await store.fetch(PLANNED)
    monkeypatch.setenv("HEYDAY_LATE_LIMT", "24h")

    _, out = await doctor()

    assert "HEYDAY_LATE_LIMT is not a setting and has no effect; did you mean HEYDAY_LATE_LIMIT?" in said(out, "warn")


async def test_servers_that_are_away_are_errors_and_the_others_are_checked(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator needs every result during an outage."""
    await store.fetch(PLANNED)
    for name in ("REDIS_URL", "RABBITMQ_URL", "EMAIL_URL"):
        scheme = {"REDIS_URL": "redis", "RABBITMQ_URL": "amqp", "EMAIL_URL": "http"}[name]
        monkeypatch.setenv(f"HEYDAY_{name}", f"{scheme}://127.0.0.1:1")

    code, out = await doctor()

    assert code == 1
    for words in ("redis is unavailable", "rabbitmq is unavailable", "no connection to 127.0.0.1"):
        assert words in said(out, "ERROR")
    assert "everything is planned up to" in said(out, "ok")


async def test_a_check_without_an_answer_ends_at_its_deadline() -> None:
    """A person waits for the result."""

    async def hang() -> list[object]:
        await asyncio.Event().wait()
        return []

    found = await run_check("hangs", hang, within=0.05)  # type: ignore[arg-type]

    assert (found.level, found.results[0].text) == (Level.ERROR, "no answer within 0.05 s")


async def test_a_postgresql_that_accepts_and_never_answers_is_said_once(
    doctor: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several checks wait for it. Each of them said that it got no answer, and it looked like several faults."""
    monkeypatch.setattr(checks, "CHECK_TIMEOUT", 1.0)
    async with relayed(database) as relay:
        relay.freeze()
        monkeypatch.setenv("HEYDAY_DATABASE_URL", relay.url)

        code, out = await doctor("--json")

    answers = {check["check"]: [result["text"] for result in check["results"]] for check in json.loads(out)["checks"]}
    assert code == 1
    assert answers["postgres"] == ["no answer within 1 s"]
    for name in ("cluster", "nodes", "limits"):
        assert answers[name] == ["not checked: see postgres"]


async def test_a_postgresql_that_stops_answering_is_not_asked_for_privileges(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wait used up the time of the check, which then knew less than after the first."""

    async def asked(_checkup: PostgresCheckup) -> list[str]:
        raise AssertionError("it was asked again")

    settings = Settings(Secret(database), Secret("redis://h"), Secret("http://h"))

    async with relayed(database) as relay:

        async def missing(connection: connections.Connection) -> list[str]:
            relay.freeze()
            return await migrations.missing(connection)

        monkeypatch.setattr(connections, "QUERY_TIMEOUT", 0.5)
        monkeypatch.setattr(postgres, "missing", missing)
        monkeypatch.setattr(PostgresCheckup, "lacking_grants", asked)
        pool = connections.Database(relay.url, size=1)
        await pool.open()
        with pytest.raises(Unavailable, match="no answer in time"):
            await postgres.check_postgres(settings, pool)
        await pool.close()


async def test_a_database_of_another_encoding_is_named_with_what_to_do(
    doctor: Run, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of an exception class says neither. What lacks in such a database is no fault of its own."""
    name = f"latin_{database.rpartition('_')[2]}"
    connection = await asyncpg.connect(database)
    await connection.execute(f"create database {name} encoding 'LATIN1' locale 'C' template template0")
    monkeypatch.setenv("HEYDAY_DATABASE_URL", f"{database.rpartition('/')[0]}/{name}")

    code, out = await doctor()

    await connection.execute(f"drop database {name}")
    await connection.close()
    assert code == 1
    assert said(out, "ERROR") == (
        "  ERROR the database is encoded in LATIN1, and names of people need UTF8: make it anew with "
        "CREATE DATABASE heyday ENCODING 'UTF8' TEMPLATE template0"
    )


async def test_the_level_of_a_check_is_its_highest_result() -> None:
    """A single error must show."""

    async def fine() -> list[object]:
        return [ok("fine")]

    assert (await run_check("fine", fine)).level is Level.OK  # type: ignore[arg-type]


async def test_the_session_that_holds_an_old_snapshot_is_named(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps old row versions from being cleaned up, and a person must know which session to end."""
    monkeypatch.setattr(queries, "LONG_TRANSACTION", 0.0)
    holder = await asyncpg.connect(store.dsn, server_settings={"application_name": "nightly-backup"})

    async with holder.transaction(isolation="repeatable_read"):
        await holder.fetchval("select count(*) from nodes")
        code, out = await doctor("--queries")
    pid = holder.get_server_pid()
    await holder.close()

    assert code == 0
    assert re.search(
        rf"open for 0 minutes, by session {pid} of \w+ \(nightly-backup\).*, idle in transaction", said(out, "warn")
    )


async def test_sequential_scans_and_dead_rows_are_warnings(store: Store, doctor: Run) -> None:
    """Each warning says what to do."""
    made = [
        "create table crowd with (autovacuum_enabled = false) as select n, n as m from generate_series(1, 20000) n",
        "analyze crowd",
    ]
    for session in (made, ["select count(*) from crowd where m = 7"] * 12, ["update crowd set m = m + 1"]):
        connection = await asyncpg.connect(store.dsn)
        for statement in session:
            await connection.execute(statement)
        # A session reports its counts at intervals. This makes it report before it answers.
        await connection.execute("select pg_stat_force_next_flush()")
        await connection.close()

    code, out = await doctor("--queries")

    assert code == 0
    assert re.search(
        r"crowd \(\d+ rows\) was scanned 1[34] times from end to end: a query lacks an index", said(out, "warn")
    )
    assert re.search(r"crowd has 20000 dead rows beside \d+, never cleaned up", said(out, "warn"))
    assert "pg_stat_statements is not installed" in said(out, "warn")


async def test_an_archive_that_refuses_the_log_is_a_warning(
    place: Path, made: list[Server], doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it shows when the disk is full, or when a restore ends too early."""
    accepts = place / "accepts"
    archive = {"archive_mode": "on", "archive_command": f"test -e {accepts}", "archive_timeout": "0"}
    archiving = PostgresServer(place / "postgres", settings=UNWRITTEN | archive)
    made.append(archiving)
    await archiving.start()
    await migrate(archiving.dsn())
    monkeypatch.setenv("HEYDAY_DATABASE_URL", archiving.dsn())
    connection = await asyncpg.connect(archiving.dsn())
    await connection.execute("select pg_switch_wal()")

    async def counted(of: str) -> bool:
        row = await connection.fetchrow("select * from pg_stat_archiver")
        return bool(row and row[f"{of}_count"])

    await eventually(partial(counted, "failed"))
    _, out = await doctor()
    assert re.search(r"its archive refuses [0-9A-F]{24}: ", said(out, "warn"))

    accepts.touch()
    await eventually(partial(counted, "archived"))
    _, out = await doctor()
    await connection.close()
    assert "its archive refuses" not in out


async def test_slow_statements_are_named_after_their_sql_files(
    place: Path, made: list[Server], doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name leads a reader to the statement."""
    counting = PostgresServer(
        place / "postgres", settings=UNWRITTEN | {"shared_preload_libraries": "pg_stat_statements"}
    )
    made.append(counting)
    await counting.start()
    await migrate(counting.dsn())
    connection = await asyncpg.connect(counting.dsn())
    await connection.execute("create extension pg_stat_statements")
    await connection.execute("select pg_sleep(0.05)\n-- of_our_own")
    await connection.close()
    monkeypatch.setenv("HEYDAY_DATABASE_URL", counting.dsn())
    monkeypatch.setattr(queries, "SLOW", 0.04)
    monkeypatch.setattr(queries, "STATEMENTS_SHOWN", 1000)  # on a busy machine, migrations take most of the time

    await doctor("--queries")
    code, out = await doctor("--queries")

    assert code == 0
    assert re.search(r"of_our_own: \d+% of the time, 1 calls, \d+\.\d ms on average, .*: slow; see", said(out, "warn"))
    assert re.search(r"unused_indexes: \d+% of the time", out), "named after statistics.sql"
    assert "pg_stat_statements is not installed" not in out


async def test_a_token_that_the_email_service_rejects_is_an_error(
    store: Store, doctor: Run, stub: EmailStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found before the first wave, without sending a greeting."""
    await store.fetch(PLANNED)
    stub.change(replace(stub.options, token="right"))
    monkeypatch.setenv("HEYDAY_EMAIL_TOKEN", "wrong")

    code, out = await doctor()
    monkeypatch.setenv("HEYDAY_EMAIL_TOKEN", "right")
    later, _ = await doctor()

    assert (code, later) == (1, 0)
    assert "not authorised; check the credentials of the email service" in said(out, "ERROR")
    assert stub.ledger.requests == 0


async def test_the_fallback_email_service_has_a_check_of_its_own(
    store: Store, doctor: Run, stub: EmailStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is needed on the day on which the first one is away, and must not be found wrong then."""
    await store.fetch(PLANNED)
    monkeypatch.setenv("HEYDAY_EMAIL_FALLBACK_URL", stub.url)
    stub.change(replace(stub.options, token="right"))
    monkeypatch.setenv("HEYDAY_EMAIL_TOKEN", "right")

    code, out = await doctor()

    assert code == 1
    _, _, rest = out.partition("\nfallback email service\n")
    assert "not authorised; check the credentials of the email service" in rest


async def test_an_email_service_that_is_not_there_is_an_error_with_its_address_and_setting(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that is wrong by one digit is hard to see at night."""
    await store.fetch(PLANNED)
    port = free_port()
    monkeypatch.setenv("HEYDAY_EMAIL_URL", f"http://127.0.0.1:{port}")

    code, out = await doctor()

    assert code == 1
    assert f"no connection to 127.0.0.1, port {port} (Connection refused): " in said(out, "ERROR")
    assert "correct HEYDAY_EMAIL_URL if the address is wrong" in said(out, "ERROR")


async def test_a_proxy_that_is_not_there_is_an_error(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check does not reach the service without the proxy."""
    await store.fetch(PLANNED)
    monkeypatch.setenv("HEYDAY_EMAIL_PROXY", f"http://user:sesame@127.0.0.1:{free_port()}")

    code, out = await doctor()

    assert code == 1
    assert "no connection to the proxy" in said(out, "ERROR")
    assert "correct HEYDAY_EMAIL_PROXY if the address is wrong" in said(out, "ERROR")
    assert "sesame" not in out


async def test_a_mail_server_is_asked_up_to_its_login(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password is found without sending a message."""
    await store.fetch(PLANNED)
    server = MailServer(login=True)
    await server.listen()
    monkeypatch.setenv("HEYDAY_EMAIL_FROM", "a@example.com")
    outs = []
    for password in ("s3cret%3A%20p%40ss", "sesame"):
        url = f"smtp://{USER}:{password}@127.0.0.1:{server.port}?starttls=off"
        monkeypatch.setenv("HEYDAY_EMAIL_URL", url)
        outs.append(await doctor())
    monkeypatch.setenv("HEYDAY_EMAIL_URL", f"smtp://127.0.0.1:{server.port}")
    outs.append(await doctor())
    await server.close()
    monkeypatch.setenv("HEYDAY_EMAIL_URL", f"smtps://127.0.0.1:{server.port}")
    outs.append(await doctor())
    without_login = MailServer()
    await without_login.listen()
    monkeypatch.setenv("HEYDAY_EMAIL_URL", f"smtp://{USER}:sesame@127.0.0.1:{without_login.port}?starttls=off")
    outs.append(await doctor())
    await without_login.close()

    assert [code for code, _ in outs] == [0, 1, 1, 1, 1]
    assert "127.0.0.1 takes connections, and the login" in outs[0][1]
    assert "not authorised" in said(outs[1][1], "ERROR")
    assert "does not offer STARTTLS" in said(outs[2][1], "ERROR")
    assert "?starttls=off" in said(outs[2][1], "ERROR")
    assert "does not offer a login" in said(outs[4][1], "ERROR")
    assert "no connection to 127.0.0.1" in said(outs[3][1], "ERROR")
    assert (server.accepted, "sesame" in outs[1][1]) == ([], False)
