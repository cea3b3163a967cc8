"""A command that a server denies is a result of the doctor, not a traceback, and the other checks run."""

from __future__ import annotations

import re

import pytest
from redis.asyncio import Redis

from tests.actors.commands.doctor.conftest import Run
from tests.actors.commands.doctor.test_checks import PLANNED, said
from tests.service.adapters.postgres.conftest import Store


async def test_a_redis_user_without_info_is_a_warning(
    store: Store, doctor: Run, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Managed services deny INFO. The streams are checked all the same."""
    await store.fetch(PLANNED)
    monkeypatch.setenv("HEYDAY_REDIS_URL", await redis_user(redis_url, "+@all", "-@dangerous", "-@admin"))

    code, out = await doctor()

    assert code == 0
    assert "this user may not run INFO" in said(out, "warn")
    assert "heyday:due has no consumer group" in said(out, "warn")


async def test_a_redis_user_without_any_command_is_an_error(
    store: Store, doctor: Run, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result quotes the error of the server."""
    await store.fetch(PLANNED)
    monkeypatch.setenv("HEYDAY_REDIS_URL", await redis_user(redis_url, "-@all", "+ping"))

    code, out = await doctor()

    assert code == 1
    assert "redis is unavailable: this user has no permissions" in said(out, "ERROR")
    assert "allow it to the user of HEYDAY_REDIS_URL" in said(out, "ERROR")
    assert "everything is planned up to" in said(out, "ok")
    assert "Traceback" not in out


@pytest.mark.parametrize("words", [(), ("--json",), ("--queries",), ("--adopt",), ("--ledger", "/dev/null")])
async def test_a_postgresql_role_without_privileges_causes_no_traceback(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """A role that can only log in is a common mistake of a first deployment."""
    await store.fetch(PLANNED)
    role = f"guest_{store.dsn[-8:]}"
    await store.fetch(f"create role {role} login password 'guest'")
    await store.fetch(f"revoke all on all tables in schema public from {role}, public")
    await store.fetch(f"revoke temporary on database {store.dsn.rpartition('/')[2]} from public")
    await store.fetch("revoke usage on schema public from public")
    monkeypatch.setenv("HEYDAY_DATABASE_URL", re.sub(r"//[^@]+@", f"//{role}:guest@", store.dsn))

    code, out = await doctor(*words)

    await store.fetch(f"drop role {role}")
    assert code == 1
    assert "Traceback" not in out
    assert any(
        words in out.replace('\\"', '"')
        for words in (
            f'may not use the schema public: run as its owner: GRANT USAGE ON SCHEMA "public" TO "{role}";',
            "grant this role USAGE on the schema",
            "lacks a privilege",
        )
    )


async def test_a_role_that_may_only_log_in_is_told_every_grant(
    store: Store, doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may not read the schema's version either, which must not end the check."""
    await store.fetch(PLANNED)
    role = f"poor_{store.dsn[-8:]}"
    await store.fetch(f"create role {role} login password 'poor'")
    await store.fetch(f"revoke all on all tables in schema public from {role}, public")
    monkeypatch.setenv("HEYDAY_DATABASE_URL", re.sub(r"//[^@]+@", f"//{role}:poor@", store.dsn))

    _, out = await doctor()

    await store.fetch(f"drop role {role}")
    grants = [line for line in said(out, "ERROR").splitlines() if "GRANT" in line]
    for table in ("messages", "schema_migrations", "audit", "holds"):
        assert any(table in line for line in grants), grants


async def test_wrong_credentials_are_errors_and_the_other_checks_run(
    store: Store, doctor: Run, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every server refuses in its own way."""
    await store.fetch(PLANNED)
    monkeypatch.setenv("HEYDAY_RABBITMQ_URL", re.sub(r"//[^@]+@", "//heyday:wrong@", rabbitmq_url))
    monkeypatch.setenv("HEYDAY_DATABASE_URL", re.sub(r"//[^@]+@", "//heyday:wrong@", store.dsn))

    code, out = await doctor()

    assert code == 1
    for setting in ("RABBITMQ", "DATABASE"):
        assert f"HEYDAY_{setting}_URL: 127.0.0.1:" in said(out, "ERROR")
    assert said(out, "ERROR").count("correct the user and the password") >= 2
    assert "Redis" in said(out, "ok") or "Valkey" in said(out, "ok")
    assert "Traceback" not in out


async def redis_user(url: str, *rules: str) -> str:
    """The URL of Redis for a user with these rules."""
    async with Redis.from_url(url) as redis:
        await redis.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">limited", "~*", "&*", *rules)  # type: ignore[no-untyped-call]
    return re.sub(r"//[^@]*@", "//limited:limited@", url)
