"""The APIs of email services, by the name of their format. docs/how-to/add_an_email_format.md shows how to add one."""

from __future__ import annotations

from collections.abc import Mapping

from service.adapters.email.formats.brevo import BREVO
from service.adapters.email.formats.format import Format
from service.adapters.email.formats.mailgun import MAILGUN
from service.adapters.email.formats.postmark import POSTMARK
from service.adapters.email.formats.resend import RESEND
from service.adapters.email.formats.sendgrid import SENDGRID
from service.adapters.email.formats.ses import SES
from service.domain.email_formats import EmailFormat

FORMATS: Mapping[EmailFormat, Format] = {
    EmailFormat.POSTMARK: POSTMARK,
    EmailFormat.SENDGRID: SENDGRID,
    EmailFormat.MAILGUN: MAILGUN,
    EmailFormat.RESEND: RESEND,
    EmailFormat.BREVO: BREVO,
    EmailFormat.SES: SES,
}
"""Every format but the default, which is heyday's own."""
