"""Tests that connections are encrypted and verified if the URL asks for it, and fail otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trustme

from actors.commands.doctor.transport import exposed
from service.adapters.postgres.connection import connect_once
from service.adapters.rabbitmq.link import Link
from service.adapters.redis import connection as redis
from service.ports import Unavailable
from service.settings import Secret, Settings
from tests.security.tls_front import WRONG_HOST, Front, tls_front


async def ask_postgres(url: str) -> None:
    connection: asyncpg.Connection[Any] = await connect_once(url)
    assert await connection.fetchval("select 1") == 1
    await connection.close()


async def ask_redis(url: str) -> None:
    clients = redis.connect(url)
    try:
        async with redis.translating():
            await clients.commands.ping()
    finally:
        await clients.close()


async def ask_rabbitmq(url: str) -> None:
    link = Link(url, name="test")
    try:
        async with link.channel(within=60):
            pass
    finally:
        await link.close()


@dataclass(frozen=True)
class Kind:
    """A kind of server: a request to it, and the URL parameters that verify its certificate or trust the default."""

    fixture: str
    ask: Callable[[str], Awaitable[None]]
    scheme: str
    authority: str
    setting: str
    options: str = ""


KINDS = (
    Kind("database", ask_postgres, "postgresql", "sslrootcert", "DATABASE_URL", "sslmode=verify-full&"),
    Kind("redis_url", ask_redis, "rediss", "ssl_ca_certs", "REDIS_URL"),
    Kind("rabbitmq_url", ask_rabbitmq, "amqps", "cafile", "RABBITMQ_URL"),
)


@dataclass(frozen=True)
class Case:
    """A kind of server, the URL of one without TLS, the TLS front before it, and the trusted authority."""

    kind: Kind
    plain: str
    front: Front
    trusted: Path

    def url(self, *, authority: Path | None = None, host: str = "127.0.0.1") -> str:
        """Return the URL through the front, with this trusted authority."""
        options = f"{self.kind.options}{self.kind.authority}={authority or self.trusted}"
        return self.front.url(self.plain, scheme=self.kind.scheme, options=options, host=host)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.scheme)
async def case(
    request: pytest.FixtureRequest,
    database: str,
    redis_url: str,
    rabbitmq_url: str,
    certificate: trustme.LeafCert,
    trusted: Path,
) -> AsyncIterator[Case]:
    """One server of each kind."""
    kind: Kind = request.param
    plain = {"database": database, "redis_url": redis_url, "rabbitmq_url": rabbitmq_url}[kind.fixture]
    async with tls_front(plain, certificate) as front:
        yield Case(kind, plain, front, trusted)


async def test_a_server_with_a_trusted_certificate_is_spoken_to_in_tls(case: Case) -> None:
    """These connections carry passwords; that of PostgreSQL also names and addresses."""
    await case.kind.ask(case.url())

    assert case.front.encrypted > 0
    assert case.front.clear == 0


async def test_a_certificate_of_an_untrusted_authority_is_an_outage(case: Case, untrusted: Path) -> None:
    """An attacker in between can make such a certificate."""
    with pytest.raises(Unavailable) as refused:
        await case.kind.ask(case.url(authority=untrusted))

    assert refused.value.reason.startswith(f"HEYDAY_{case.kind.setting}: the certificate of 127.0.0.1:")
    assert f"no authority of {case.kind.authority}={untrusted} has signed it" in refused.value.reason
    assert case.front.clear == 0


async def test_a_certificate_for_another_host_is_an_outage(case: Case) -> None:
    """An attacker could use another server's certificate of the same authority."""
    with pytest.raises(Unavailable) as refused:
        await case.kind.ask(case.url(host=WRONG_HOST))

    assert f"HEYDAY_{case.kind.setting}: the certificate of {WRONG_HOST}:" in refused.value.reason
    assert "use a host name that the certificate has" in refused.value.reason
    assert case.front.clear == 0


async def test_a_file_of_authorities_that_is_not_there_is_an_outage(case: Case, tmp_path: Path) -> None:
    """The file may come with the next deployment of secrets, so the node must wait and not crash."""
    with pytest.raises(Unavailable) as refused:
        await case.kind.ask(case.url(authority=tmp_path / "missing.pem"))

    file = f"{case.kind.authority}={tmp_path / 'missing.pem'}"
    assert f"HEYDAY_{case.kind.setting}: expected {file} to be a readable file" in refused.value.reason


async def test_a_server_that_speaks_no_tls_gets_nothing_in_clear_text(case: Case) -> None:
    """Otherwise the first server that answers gets the password."""
    url = case.url().replace(f":{case.front.port}", f":{case.plain.rpartition(':')[2].partition('/')[0]}")

    with pytest.raises(Unavailable):
        await case.kind.ask(url)


SETTINGS = Settings(
    Secret("postgresql:///heyday?host=/run/postgresql"), Secret("unix:///run/redis"), Secret("https://h")
)


@pytest.mark.parametrize(
    ("setting", "url", "said"),
    [
        ("database_url", "postgresql://db/heyday", "not encrypted"),
        ("database_url", "postgresql://db/heyday?sslmode=require", "not verified"),
        ("database_url", "postgresql://db/heyday?sslmode=verify-full", None),
        ("database_url", "postgresql://127.0.0.1/heyday", None),
        ("redis_url", "redis://redis", "not encrypted"),
        ("redis_url", "rediss://redis?ssl_cert_reqs=none", "not verified"),
        ("redis_url", "rediss://redis?ssl_ca_certs=ca.pem", None),
        ("rabbitmq_url", "amqp://rabbit", "not encrypted"),
        ("rabbitmq_url", "amqps://rabbit?no_verify_ssl=1", "not verified"),
        ("rabbitmq_url", "amqps://rabbit?cafile=ca.pem", None),
        ("email_url", "http://email", "not encrypted"),
        ("email_url", "https://email", None),
    ],
)
def test_the_doctor_warns_of_ways_that_are_not_encrypted_or_not_verified(
    setting: str, url: str, said: str | None
) -> None:
    """An unset `sslmode`, or `require`, looks safe but is not."""
    changed: dict[str, Any] = {setting: Secret(url)}

    warnings = list(exposed(replace(SETTINGS, **changed)))

    assert len(warnings) == (said is not None)
    assert all(one.startswith(f"HEYDAY_{setting.upper()}: ") and said is not None and said in one for one in warnings)
