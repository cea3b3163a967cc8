"""The way out by SMTP (RFC 5321): one attempt hands one message to a mail server."""

from service.adapters.email.smtp.client import SmtpEmailService

__all__ = ["SmtpEmailService"]
