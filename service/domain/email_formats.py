"""The formats in which a greeting is sent to an email service, and how long each service remembers a repeated key.

docs/how-to/connect_your_email_service.md has the same table, with the pages of the providers.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum


class EmailFormat(StrEnum):
    """The API of the email service; the values are those of `HEYDAY_EMAIL_FORMAT`."""

    DEFAULT = "default"
    POSTMARK = "postmark"
    SENDGRID = "sendgrid"
    MAILGUN = "mailgun"
    RESEND = "resend"
    BREVO = "brevo"
    SES = "ses"


KEYS_LAST = {
    EmailFormat.DEFAULT: timedelta(hours=24),
    EmailFormat.RESEND: timedelta(hours=24),
    EmailFormat.BREVO: timedelta(minutes=15),
}
"""The time for which a service remembers a key, so that a repeated message is delivered once.

The default is what heyday requires of a service with its own format. A format that is missing here has no such key.
"""


def keys_last(email_format: EmailFormat) -> timedelta | None:
    """Return how long the service remembers the key of a message. None if it has no such keys."""
    return KEYS_LAST.get(email_format)
