"""Finds URLs that lead to another machine without encryption, or without verifying the server."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from service.settings import Settings, is_loopback

_CLEAR = "is not encrypted"
_UNVERIFIED = "is encrypted, but the certificate is not verified: a machine in between can decrypt it"


def exposed(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each URL that leads to another machine and does not ask for verified TLS."""
    for name, url, remedy in (
        ("HEYDAY_DATABASE_URL", settings.database_url, "postgresql://…?sslmode=verify-full&sslrootcert=FILE"),
        ("HEYDAY_REDIS_URL", settings.redis_url, "rediss://…?ssl_ca_certs=FILE"),
        ("HEYDAY_RABBITMQ_URL", settings.rabbitmq_url, "amqps://…?cafile=FILE"),
        *((f"HEYDAY_{one.prefix}_URL", one.url, "https://… or smtps://…") for one in settings.email_services),
    ):
        if url and (why := _why(url)):
            yield f"{name}: the connection {why}; use {remedy}"


def _why(url: str) -> str | None:
    """The weakness of the connection; None if it is verified, or if it stays on this machine."""
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    host = parts.hostname or options.get("host", "")
    if not host or host.startswith("/") or is_loopback(host):
        return None  # a socket, or this machine
    match parts.scheme:
        case "postgresql" | "postgres":
            mode = options.get("sslmode", "prefer")
            # `require` verifies nothing, and `verify-ca` not the name.
            return None if mode == "verify-full" else _UNVERIFIED if mode in {"require", "verify-ca"} else _CLEAR
        case "rediss":
            off = options.get("ssl_cert_reqs") == "none" or options.get("ssl_check_hostname", "").lower() == "false"
            return _UNVERIFIED if off else None
        case "smtp" | "smtps":
            return _CLEAR if options.get("starttls") == "off" else None
        case "amqps":
            return None if options.get("no_verify_ssl", "0") == "0" else _UNVERIFIED
    return None if parts.scheme == "https" else _CLEAR
