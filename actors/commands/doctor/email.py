"""Checks of the email service: name, connection, certificate, HTTP answer. Nothing is sent."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
from yarl import URL

from actors.commands.doctor.check_results import CheckResult, Level, error, ok, warning
from actors.commands.doctor.smtp import check_smtp
from actors.email_clients import access, email_attempts
from service.adapters.email.smtp import SmtpEmailService
from service.email_access import tls_context
from service.settings import EmailServiceSettings, is_loopback, is_smtp

CONNECT_TIMEOUT = 5.0
"""Seconds for the connection, and again for the HTTP answer."""

CERTIFICATE_WARNING = timedelta(days=14)
"""A certificate that ends sooner is a warning."""


async def check_email(settings: EmailServiceSettings) -> list[CheckResult]:
    """Connect to a service, or to the proxy before it, and ask for the URL of greetings by GET."""
    if is_smtp(settings.url):
        return await check_smtp(settings)
    service = access(settings)
    parts = urlsplit(settings.url)
    tls = parts.scheme == "https"
    results: list[CheckResult] = []
    if not tls and not is_loopback(parts.hostname or ""):
        results.append(warning(f"HEYDAY_{settings.prefix}_URL is not https: names and addresses are sent unencrypted"))
    if proxy := service.options(URL(settings.url)).get("proxy"):
        reached = await _reach("the proxy", urlsplit(proxy), None, f"HEYDAY_{settings.prefix}_PROXY")
    else:
        context = tls_context(service.ca, service.client_certificate) if tls else None
        reached = await _reach(parts.hostname or "", parts, context, f"HEYDAY_{settings.prefix}_URL")
    if any(one.level is Level.ERROR for one in reached):
        return [*reached, *results]
    return [*reached, *results, await _answers(settings)]


async def _reach(name: str, parts: SplitResult, tls: ssl.SSLContext | None, setting: str) -> list[CheckResult]:
    """Connect, and look at the certificate. `setting` is the variable that has the address."""
    port = parts.port or (443 if tls else 80)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            certificate = await _connect(parts.hostname or "", port, tls)
    except TimeoutError:
        return [error(f"no connection to {name}, port {port}, within {CONNECT_TIMEOUT:g} s: {_away(setting)}")]
    except ssl.SSLError as failure:
        return [error(f"no TLS connection to {name}, port {port}: {failure.reason or failure}")]
    except OSError as failure:
        # The event loop puts addresses into the text of a refused connection. Negative numbers are of the resolver.
        number = failure.errno or 0
        reason = os.strerror(number) if number > 0 else failure.strerror or failure
        return [error(f"no connection to {name}, port {port} ({reason}): {_away(setting)}")]
    return [ok(f"{name} accepts connections"), *_certificate(certificate)]


def _away(setting: str) -> str:
    return f"nothing can be sent; correct {setting} if the address is wrong, or ask the operator of that machine"


async def _connect(host: str, port: int, tls: ssl.SSLContext | None) -> dict[str, Any]:
    _, writer = await asyncio.open_connection(host, port, ssl=tls)
    connection = writer.get_extra_info("ssl_object")
    writer.close()
    return (connection.getpeercert() if connection else None) or {}


def _certificate(certificate: dict[str, Any]) -> Iterator[CheckResult]:
    if "notAfter" not in certificate:
        return
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    text = f"its certificate is valid until {ends:%Y-%m-%d}"
    yield (warning if ends - datetime.now(UTC) < CERTIFICATE_WARNING else ok)(text)


async def _answers(settings: EmailServiceSettings) -> CheckResult:
    """Ask by GET, with the credentials. Any status but 401 and 407 shows that the service speaks HTTP with us."""
    service = email_attempts(settings, timeout=timedelta(seconds=CONNECT_TIMEOUT))
    assert not isinstance(service, SmtpEmailService)  # noqa: S101  # a mail server is asked elsewhere
    await service.open()
    try:
        status = await service.probe()
    except aiohttp.ClientHttpProxyError as failure:
        return _answered("the proxy", failure.status)
    except (aiohttp.ClientError, OSError) as failure:  # TimeoutError is an OSError
        return error(f"it does not answer in HTTP: {type(failure).__name__}")
    finally:
        await service.close()
    if status is None:
        return ok("its API has no request that shows whether the key is taken without sending a greeting")
    return _answered("it", status)


def _answered(name: str, status: int) -> CheckResult:
    text = f"{name} answers HTTP (GET is {status})"
    if status in {401, 407}:
        return error(f"{text}: not authorised; check the credentials of the email service")
    if status == 403:
        return warning(f"{text}: this may be about the credentials of the email service")
    return warning(f"{text}: the service reports an error of its own") if status >= 500 else ok(text)
