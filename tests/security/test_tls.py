"""Every connection to a server is encrypted and verified where its URL asks for that, and fails otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trustme

from actors.doctor.transport import exposed
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
        async with link.channel(within=5):
            pass
    finally:
        await link.close()


@dataclass(frozen=True)
class Kind:
    """A kind of server: how to ask it something, and what a URL says to verify it, or to trust nobody in particular."""

    fixture: str
    ask: Callable[[str], Awaitable[None]]
    scheme: str
    authority: str
    options: str = ""


KINDS = (
    Kind("database", ask_postgres, "postgresql", "sslrootcert", "sslmode=verify-full&"),
    Kind("redis_url", ask_redis, "rediss", "ssl_ca_certs"),
    Kind("rabbitmq_url", ask_rabbitmq, "amqps", "cafile"),
)


@dataclass(frozen=True)
class Case:
    """A kind of server, the URL of one without TLS, TLS in front of it, and the authority to trust."""

    kind: Kind
    plain: str
    front: Front
    trusted: Path

    def url(self, *, authority: Path | None = None, host: str = "127.0.0.1") -> str:
        """Through the front, trusting this authority instead."""
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
    """Passwords travel on these connections; names and addresses on that of PostgreSQL."""
    await case.kind.ask(case.url())

    assert case.front.encrypted > 0
    assert case.front.clear == 0


async def test_a_certificate_that_nobody_trusted_has_signed_is_an_outage(case: Case, untrusted: Path) -> None:
    """Whoever can stand between could have made it."""
    with pytest.raises(Unavailable):
        await case.kind.ask(case.url(authority=untrusted))

    assert case.front.clear == 0


async def test_a_certificate_for_another_host_is_an_outage(case: Case) -> None:
    """Any server of the same authority could be put in between."""
    with pytest.raises(Unavailable):
        await case.kind.ask(case.url(host=WRONG_HOST))

    assert case.front.clear == 0


async def test_a_file_of_authorities_that_is_not_there_is_an_outage(case: Case, tmp_path: Path) -> None:
    """It may come with the next deployment of secrets; a crash would say less, and the node would end."""
    with pytest.raises(Unavailable):
        await case.kind.ask(case.url(authority=tmp_path / "missing.pem"))


async def test_a_server_that_speaks_no_tls_gets_nothing_in_clear_text(case: Case) -> None:
    """Else whoever answers first would get the password."""
    url = case.url().replace(f":{case.front.port}", f":{case.plain.rpartition(':')[2].partition('/')[0]}")

    with pytest.raises(Unavailable):
        await case.kind.ask(url)


SETTINGS = Settings(
    Secret("postgresql:///heyday?host=/run/postgresql"), Secret("unix:///run/redis"), Secret("https://h")
)


@pytest.mark.parametrize(
    ("setting", "url", "said"),
    [
        ("database_url", "postgresql://db/heyday", "clear text"),
        ("database_url", "postgresql://db/heyday?sslmode=require", "not verified"),
        ("database_url", "postgresql://db/heyday?sslmode=verify-full", None),
        ("database_url", "postgresql://127.0.0.1/heyday", None),
        ("redis_url", "redis://redis", "clear text"),
        ("redis_url", "rediss://redis?ssl_cert_reqs=none", "not verified"),
        ("redis_url", "rediss://redis?ssl_ca_certs=ca.pem", None),
        ("rabbitmq_url", "amqp://rabbit", "clear text"),
        ("rabbitmq_url", "amqps://rabbit?no_verify_ssl=1", "not verified"),
        ("rabbitmq_url", "amqps://rabbit?cafile=ca.pem", None),
        ("email_url", "http://email", "clear text"),
        ("email_url", "https://email", None),
    ],
)
def test_the_doctor_warns_of_ways_that_are_not_encrypted_or_not_verified(
    setting: str, url: str, said: str | None
) -> None:
    """`sslmode` unset or `require` looks safe, and is not."""
    changed: dict[str, Any] = {setting: Secret(url)}

    warnings = list(exposed(replace(SETTINGS, **changed)))

    assert len(warnings) == (said is not None)
    assert all(one.startswith(f"HEYDAY_{setting.upper()}: ") and said is not None and said in one for one in warnings)
