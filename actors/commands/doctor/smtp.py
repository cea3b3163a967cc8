"""Check of a mail server: connection, encryption and login. Nothing is sent."""

from __future__ import annotations

from datetime import timedelta

import aiosmtplib

from actors.commands.doctor.check_results import CheckResult, error, ok, warning
from actors.email_clients import email_attempts
from service.adapters.email.smtp import SmtpEmailService
from service.email_access import smtp_server
from service.settings import EmailServiceSettings, UnknownOutcome, is_loopback

CONNECT_TIMEOUT = 10.0
"""Seconds for connection, encryption and login."""

NO_STARTTLS = (
    "STARTTLS: write smtps:// in the URL if it speaks TLS from the start, or add ?starttls=off if it is on this "
    "machine and has no TLS"
)


async def check_smtp(settings: EmailServiceSettings) -> list[CheckResult]:
    """Connect, encrypt and log in as a node does."""
    service = email_attempts(settings, timeout=timedelta(seconds=CONNECT_TIMEOUT))
    assert isinstance(service, SmtpEmailService)  # noqa: S101  # other services are asked elsewhere
    server = smtp_server(settings.url)
    results = []
    if not server.tls and not server.starttls and not is_loopback(server.host):
        results.append(
            warning(f"HEYDAY_{settings.prefix}_URL has starttls=off: names and addresses are sent unencrypted")
        )
    if settings.unknown_outcome is UnknownOutcome.RESEND:
        results.append(
            warning("HEYDAY_UNKNOWN_OUTCOME is resend: a mail server knows no key, so a greeting may come twice")
        )
    await service.open()
    try:
        await service.probe()
    except aiosmtplib.SMTPAuthenticationError as failure:
        return [error(f"{server.host} does not take the login ({failure.code}): not authorised"), *results]
    except aiosmtplib.SMTPNotSupported as failure:
        missing = NO_STARTTLS if failure.message == "starttls" else "a login, and the URL has a user"
        return [error(f"{server.host} does not offer {missing}"), *results]
    except aiosmtplib.SMTPResponseException as failure:
        return [error(f"{server.host} refuses this machine ({failure.code}): nothing can be sent"), *results]
    except TimeoutError:
        return [error(f"no greeting of {server.host} within {CONNECT_TIMEOUT:g} s: nothing can be sent"), *results]
    except (aiosmtplib.SMTPException, OSError) as failure:
        return [error(f"no connection to {server.host}: {failure}"), *results]
    logged_in = ", and the login" if server.user else ""
    return [ok(f"{server.host} takes connections{logged_in}"), *results]
