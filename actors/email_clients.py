"""Makes the client of an email service from its settings, for nodes and for commands."""

from __future__ import annotations

from datetime import timedelta

from service.adapters.email.access import Access
from service.adapters.email.direct import DirectEmailService
from service.adapters.email.formats import FORMATS
from service.adapters.email.http import HttpEmailService
from service.adapters.email.provider import ProviderEmailService
from service.adapters.email.smtp import SmtpEmailService
from service.domain.email_formats import EmailFormat
from service.email_settings import EmailServiceSettings, is_smtp

WayOut = DirectEmailService | HttpEmailService | SmtpEmailService


def access(service: EmailServiceSettings) -> Access:
    """Make the access to an email service from its settings."""
    return Access(
        token=service.token,
        headers=service.headers,
        proxy=service.proxy,
        ca=service.ca,
        client_certificate=service.client_certificate,
    )


def email_attempts(service: EmailServiceSettings, *, timeout: timedelta) -> WayOut:
    """Make the client of an email service. It connects when it is opened."""
    url, way, concurrency = service.url, access(service), service.concurrency
    if is_smtp(url):
        return SmtpEmailService(
            url,
            sender=service.sender or "",
            timeout=timeout,
            concurrency=concurrency,
            access=way,
            unsubscribe=service.unsubscribe,
            html=service.html,
        )
    if service.format is EmailFormat.DEFAULT:
        # aiohttp supports proxies. Without one, connections of our own cost less.
        plain = DirectEmailService if way.proxy is None else HttpEmailService
        return plain(url, timeout=timeout, concurrency=concurrency, access=way)
    return ProviderEmailService(
        url, FORMATS[service.format], sender=service.sender or "", timeout=timeout, concurrency=concurrency, access=way
    )
