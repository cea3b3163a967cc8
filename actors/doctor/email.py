"""Checks of the email service, without sending anything: the name, the connection, the certificate, an HTTP answer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from actors.doctor.remarks import Remark, bad, warning, well
from service.settings import is_loopback

WITHIN = 5.0
"""Seconds for the connection, and as many for the answer."""

CERTIFICATE_LASTS = timedelta(days=14)
"""A certificate that ends sooner is mentioned."""


async def check_email(url: str) -> list[Remark]:
    """Whether the service can be reached."""
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    try:
        async with asyncio.timeout(WITHIN):
            certificate = await _connect(host, parts.port or (443 if tls else 80), tls=tls)
    except TimeoutError:
        return [bad(f"no connection to {host} within {WITHIN:g} s: nothing can be sent")]
    except ssl.SSLError as error:
        return [bad(f"no TLS connection to {host}: {error.reason or error}")]
    except OSError as error:
        return [bad(f"no connection to {host}: {error.strerror or error}")]
    remarks = list(_certificate(certificate)) if tls else []
    if not tls and not is_loopback(host):
        remarks.append(warning("HEYDAY_EMAIL_URL is not https: names and addresses travel in the open"))
    return [well(f"{host} takes connections"), *remarks, await _answers(f"{parts.scheme}://{parts.netloc}/")]


async def _connect(host: str, port: int, *, tls: bool) -> dict[str, Any]:
    _, writer = await asyncio.open_connection(host, port, ssl=tls or None)
    connection = writer.get_extra_info("ssl_object")
    writer.close()
    return (connection.getpeercert() if connection else None) or {}


def _certificate(certificate: dict[str, Any]) -> Iterator[Remark]:
    if "notAfter" not in certificate:
        return
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    text = f"its certificate is valid until {ends:%Y-%m-%d}"
    yield (warning if ends - datetime.now(UTC) < CERTIFICATE_LASTS else well)(text)


async def _answers(root: str) -> Remark:
    """A GET of the root greets nobody; whatever is answered, it is HTTP."""
    try:
        timeout = aiohttp.ClientTimeout(total=WITHIN)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(root, allow_redirects=False) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        return bad(f"it speaks no HTTP: {type(error).__name__}")
    text = f"it answers HTTP (GET / is {status})"
    return warning(f"{text}: an error of its own") if status >= 500 else well(text)
