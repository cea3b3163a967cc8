"""The events of email services that a node takes: bounces, complaints and opt-outs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.domain.email_formats import EmailFormat
from service.domain.suppressions import SuppressionReason

EVENT_FORMATS = (
    EmailFormat.POSTMARK,
    EmailFormat.SENDGRID,
    EmailFormat.MAILGUN,
    EmailFormat.RESEND,
    EmailFormat.BREVO,
)
"""The formats whose events are accepted.

SES is missing, because its signature needs a certificate from another host.
"""


class EmailEventKind(StrEnum):
    """The meaning of an event; the values are those of metrics."""

    BOUNCE = "bounce"
    """The address cannot be reached, and never will be."""
    COMPLAINT = "complaint"
    OPT_OUT = "opt_out"
    SOFT_BOUNCE = "soft_bounce"
    """Not delivered, for a reason that may pass."""
    OTHER = "other"
    """Everything else, such as a delivery."""

    @property
    def suppresses(self) -> SuppressionReason | None:
        """The reason for which the address is suppressed; None if it is not."""
        return _REASONS.get(self)


_REASONS = {
    EmailEventKind.BOUNCE: SuppressionReason.BOUNCE,
    EmailEventKind.COMPLAINT: SuppressionReason.COMPLAINT,
    EmailEventKind.OPT_OUT: SuppressionReason.OPT_OUT,
}


@dataclass(frozen=True, slots=True)
class EmailEvent:
    """An event, and the address as the service wrote it, if it named one."""

    kind: EmailEventKind
    email: object = None
