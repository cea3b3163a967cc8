"""The URLs of Redis and RabbitMQ: options and certificates that cannot work are one sentence at the start."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from service.environment import Environment
from service.store_urls import rabbitmq_url, redis_url

REDIS, RABBITMQ = ("REDIS_URL", redis_url), ("RABBITMQ_URL", rabbitmq_url)


@pytest.mark.parametrize(
    ("setting", "url", "sentence"),
    [
        (REDIS, "rediss://:sesame@redis?ssl_ca_certs=/nowhere/ca", "ssl_ca_certs=/nowhere/ca to be a readable file"),
        (REDIS, "rediss://:sesame@redis?ssl_ca_cert=/nowhere/ca", "no option ssl_ca_cert; did you mean ssl_ca_certs?"),
        (REDIS, "rediss://:sesame@redis?ssl_certfile=/nowhere/crt", "ssl_certfile=/nowhere/crt to be a readable file"),
        (REDIS, "rediss://:sesame@redis?ssl_cert_reqs=full", "ssl_cert_reqs to be one of none, optional, required"),
        (REDIS, "redis://:sesame@redis?ssl_ca_certs=/nowhere/ca", "rediss:// with ssl_ca_certs, because without TLS"),
        (REDIS, "rediss+sentinel://:sesame@a,b/main?ssl_ca_certs=/nowhere/ca", "to be a readable file"),
        (REDIS, "redis://:sesame@redis?max_connections=5", "no option max_connections"),
        (RABBITMQ, "amqps://heyday:sesame@a,b?cafile=/nowhere/ca", "cafile=/nowhere/ca to be a readable file"),
        (RABBITMQ, "amqps://heyday:sesame@a?cacertfile=/nowhere/ca", "no option cacertfile; did you mean "),
        (RABBITMQ, "amqps://heyday:sesame@a?keyfile=/nowhere/key", "keyfile=/nowhere/key to be a readable file"),
        (RABBITMQ, "amqp://heyday:sesame@a?cafile=/nowhere/ca", "amqps:// with cafile, because without TLS"),
        (REDIS, "redis://:sesame@redis/heyday", "the number of a database in the path, such as redis://host:6379/0"),
        (REDIS, "redis://:sesame@redis?db=one", "db to be a whole number, and not one"),
        (REDIS, "redis://:sesame@redis?health_check_interval=5s", "health_check_interval to be a whole number"),
        (REDIS, "redis+sentinel://:sesame@a,b/main/\u00b2", "a URL such as redis+sentinel://"),
        (REDIS, "rediss://:sesame@redis?ssl_ca_certs=%00", "ssl_ca_certs to be the path of a file"),
        (RABBITMQ, "amqp://heyday:sesame@a?heartbeat=x", "heartbeat to be a whole number, and not x"),
        (RABBITMQ, "amqps://heyday:sesame@a?auth=cookie", "auth to be one of plain, external, and not cookie"),
    ],
)
def test_what_cannot_work_is_a_mistake_with_file_and_remedy(
    setting: tuple[str, object], url: str, sentence: str
) -> None:
    """At the first connection it would be a crash, or an outage that names no file."""
    name, parse = setting
    reader = Environment({f"HEYDAY_{name}": url})

    assert reader.secret(name, parse) is None  # type: ignore[arg-type]

    (error,) = reader.errors
    assert error.startswith(f"HEYDAY_{name}='***': expected ")
    assert sentence in error
    assert "sesame" not in error


def test_a_key_of_another_certificate_is_a_mistake(tmp_path: Path) -> None:
    """Both files can be read, and no handshake would succeed."""
    authority = trustme.CA()
    mine, other = authority.issue_cert("mine"), authority.issue_cert("other")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "crt")
    other.private_key_pem.write_to_path(tmp_path / "key")

    with pytest.raises(ValueError, match="to be a certificate with its key"):
        rabbitmq_url(f"amqps://rabbit?certfile={tmp_path}/crt&keyfile={tmp_path}/key")


@pytest.mark.parametrize(
    "url", ["unix:///run/redis.sock?db=2", "redis+sentinel://a,b/main/0?sentinel_password=x", "rediss://h:6380/1"]
)
def test_urls_of_redis_that_work_are_taken(url: str) -> None:
    assert redis_url(url) == url


@pytest.mark.parametrize("url", ["amqp://a:1,b:2/vhost?heartbeat=30", "amqps://user:word@rabbit?no_verify_ssl=1"])
def test_urls_of_rabbitmq_that_work_are_taken(url: str) -> None:
    assert rabbitmq_url(url) == url


def test_certificates_that_are_there_are_taken(tmp_path: Path) -> None:
    """An authority, and a certificate with its key in one file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca")
    authority.issue_cert("node").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")

    assert redis_url(f"rediss://h?ssl_ca_certs={tmp_path}/ca&ssl_certfile={tmp_path}/pem")
    assert rabbitmq_url(f"amqps://h?cafile={tmp_path}/ca&certfile={tmp_path}/pem")
