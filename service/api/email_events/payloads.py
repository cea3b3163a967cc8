"""Reads the events in a webhook. What is not known here is an event of the kind `other`.

* `postmark`: https://postmarkapp.com/developer/webhooks/bounce-webhook, spam-complaint-webhook and
  subscription-change-webhook; the types are in https://postmarkapp.com/developer/api/bounce-api#bounce-types.
* `sendgrid`: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event, in batches of up to 768 KB.
* `mailgun`: https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-types and
  https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads.
* `resend`: https://resend.com/docs/webhooks/event-types, and the pages of the events that it names.
* `brevo`: https://developers.brevo.com/docs/transactional-webhooks, and the same in batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from service.domain.email_events import EmailEvent, EmailEventKind
from service.domain.email_formats import EmailFormat

MAX_EVENTS = 10_000
"""Events of one webhook that are read. A batch of 768 KB has some 3,000."""

BOUNCE, COMPLAINT, OPT_OUT, SOFT, OTHER = (
    EmailEventKind.BOUNCE,
    EmailEventKind.COMPLAINT,
    EmailEventKind.OPT_OUT,
    EmailEventKind.SOFT_BOUNCE,
    EmailEventKind.OTHER,
)

_POSTMARK_BOUNCES = {
    "HardBounce": BOUNCE,
    "BadEmailAddress": BOUNCE,
    "SpamComplaint": COMPLAINT,
    "Unsubscribe": OPT_OUT,
    "ManuallyDeactivated": OPT_OUT,
    "Subscribe": OTHER,
    "AutoResponder": OTHER,
}
_POSTMARK_CHANGES = {"HardBounce": BOUNCE, "SpamComplaint": COMPLAINT, "ManualSuppression": OPT_OUT}
_SENDGRID = {"spamreport": COMPLAINT, "unsubscribe": OPT_OUT, "group_unsubscribe": OPT_OUT, "deferred": SOFT}
_SENDGRID_DROPS = {
    "Bounced Address": BOUNCE,
    "Invalid": BOUNCE,
    "Spam Reporting Address": COMPLAINT,
    "Unsubscribed Address": OPT_OUT,
}
_MAILGUN = {"complained": COMPLAINT, "unsubscribed": OPT_OUT}
_MAILGUN_PERMANENT = {
    "bounce": BOUNCE,
    "suppress-bounce": BOUNCE,
    "suppress-complaint": COMPLAINT,
    "suppress-unsubscribe": OPT_OUT,
}
_BREVO = {
    "hard_bounce": BOUNCE,
    "invalid_email": BOUNCE,
    "spam": COMPLAINT,  # the name of the event where a webhook is made; its payload says `complaint`
    "complaint": COMPLAINT,
    "unsubscribed": OPT_OUT,
    "unsubscribe": OPT_OUT,
    "soft_bounce": SOFT,
    "deferred": SOFT,
    "blocked": SOFT,
    "error": SOFT,
}
_RESEND_SUPPRESSIONS = {"bounce": BOUNCE, "complaint": COMPLAINT, "manual": OPT_OUT}


def read_events(email_format: EmailFormat, document: object) -> list[EmailEvent]:
    """The events of a document, which is an object or an array of objects."""
    items = document if isinstance(document, list) else [document]
    return [_READ[email_format](item if isinstance(item, dict) else {}) for item in items[:MAX_EVENTS]]


def _postmark(item: Mapping[str, Any]) -> EmailEvent:
    match item.get("RecordType"):
        case "Bounce":
            return EmailEvent(_known(_POSTMARK_BOUNCES, item.get("Type"), SOFT), item.get("Email"))
        case "SpamComplaint":
            return EmailEvent(COMPLAINT, item.get("Email"))
        case "SubscriptionChange" if item.get("SuppressSending") is True:
            # For every reason, also an unknown one, the service sends nothing to the address from now on.
            return EmailEvent(_known(_POSTMARK_CHANGES, item.get("SuppressionReason"), OPT_OUT), item.get("Recipient"))
    return EmailEvent(OTHER)


def _sendgrid(item: Mapping[str, Any]) -> EmailEvent:
    event = item.get("event")
    if event == "bounce":  # its type is `blocked` when the server refused this message, and not the address
        return EmailEvent(BOUNCE if item.get("type") == "bounce" else SOFT, item.get("email"))
    if event == "dropped":  # not sent, mostly because the address is on a list of the account
        return EmailEvent(_known(_SENDGRID_DROPS, item.get("reason"), SOFT), item.get("email"))
    return EmailEvent(_known(_SENDGRID, event), item.get("email"))


def _mailgun(item: Mapping[str, Any]) -> EmailEvent:
    data = _object(item.get("event-data"))
    if data.get("event") == "failed":
        # A permanent failure for another reason is that of this message, such as a server that was away too long.
        permanent = data.get("severity") == "permanent"
        return EmailEvent(
            _known(_MAILGUN_PERMANENT, data.get("reason"), SOFT) if permanent else SOFT, data.get("recipient")
        )
    return EmailEvent(_known(_MAILGUN, data.get("event")), data.get("recipient"))


def _resend(item: Mapping[str, Any]) -> EmailEvent:
    data = _object(item.get("data"))
    match item.get("type"):
        case "suppression.added":
            return EmailEvent(_known(_RESEND_SUPPRESSIONS, data.get("origin"), OPT_OUT), data.get("email"))
        case "email.suppressed":
            kind = BOUNCE  # as the same was reported before this event existed; a complaint has its own event
        case "email.bounced":
            kind = BOUNCE if _object(data.get("bounce")).get("type") == "Permanent" else SOFT
        case "email.complained":
            kind = COMPLAINT
        case "email.delivery_delayed":
            kind = SOFT
        case _:
            kind = OTHER
    to = data.get("to")
    # Of several recipients it is not known which one it was. A greeting has one.
    return EmailEvent(kind, to[0] if isinstance(to, list) and len(to) == 1 else None)


def _brevo(item: Mapping[str, Any]) -> EmailEvent:
    return EmailEvent(_known(_BREVO, item.get("event")), item.get("email"))


_READ: Mapping[EmailFormat, Callable[[Mapping[str, Any]], EmailEvent]] = {
    EmailFormat.POSTMARK: _postmark,
    EmailFormat.SENDGRID: _sendgrid,
    EmailFormat.MAILGUN: _mailgun,
    EmailFormat.RESEND: _resend,
    EmailFormat.BREVO: _brevo,
}


def _known(kinds: Mapping[str, EmailEventKind], name: object, otherwise: EmailEventKind = OTHER) -> EmailEventKind:
    return kinds.get(name, otherwise) if isinstance(name, str) else otherwise


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
