"""The route of the webhooks in which email services report bounces, complaints and opt-outs."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import orjson
import structlog
from aiohttp import web
from marshmallow import ValidationError

from service.api.dependencies import ApiDependencies
from service.api.email_events.payloads import read_events
from service.api.email_events.signatures import NotAuthentic, Webhook, token_of, verify
from service.api.http.body import BodyMemory, parse_foreign, read_large_body, require_json
from service.api.http.fields import EmailAddress
from service.api.http.problems import MEDIA_TYPE, NOT_AUTHENTIC, NOT_FOUND, TIMEOUT, TOO_LARGE, UNAVAILABLE, Problem
from service.api.http.responses import json_response
from service.api.middleware.tracing import REQUEST_ID
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.suppressions import EmailEventsResultAnswer
from service.domain.email_events import EmailEvent, EmailEventKind
from service.domain.email_formats import EmailFormat
from service.domain.roles import Role
from service.domain.suppressions import NewSuppression
from service.ports import KeptResponse, Principal
from service.turns import Turns

log = structlog.get_logger(__name__)

MAX_WEBHOOK_BYTES = 1024 * 1024
"""Bytes of a webhook. SendGrid sends batches of up to 768 KB."""

MAX_ARRIVING_BYTES = 64 * 1024 * 1024
"""Bytes of all webhooks that arrive at once: a body is read before its signature is checked."""

COUNTED_BYTES = 64 * 1024
"""Bytes that a webhook counts as at least. So 1,024 arrive at once, half of the requests that a node works on."""

BATCH_EVENTS = 500
"""Suppressions of one transaction."""

_ADDRESS = EmailAddress(required=True)


class EmailEventRoutes:
    """A webhook may come twice: there is one suppression for an address and a reason."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._suppressions = dependencies.ports.suppressions
        self._idempotency = dependencies.ports.idempotency
        self._metrics = dependencies.metrics
        self._clock = dependencies.clock
        self._secrets = dependencies.email_event_secrets
        self._memory = BodyMemory(MAX_ARRIVING_BYTES, least=COUNTED_BYTES)

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/v1/email-events/{format}", self.receive)]

    @operation(
        "email events",
        "Receive email events",
        webhook=True,
        problems=(TIMEOUT, TOO_LARGE, MEDIA_TYPE),
        responses={200: ResponseSpec("The events are taken.", EmailEventsResultAnswer)},
    )
    async def receive(self, request: web.Request) -> web.Response:
        """The webhook of an email service, in its own form, with its own signature. It needs no API key. Permanent
        bounces, complaints and opt-outs suppress the address. Other events are ignored. 404 without a secret of the
        format in `HEYDAY_EMAIL_EVENTS_SECRETS`."""
        found = await self._secrets.keys(request.match_info["format"])
        if found is None:
            raise Problem(NOT_FOUND, "HEYDAY_EMAIL_EVENTS_SECRETS has no secret of this format.")
        email_format, keys = found
        require_json(request)
        body = await read_large_body(request, MAX_WEBHOOK_BYTES, self._memory)
        self._verify(email_format, keys, Webhook(request.headers, body))
        document = parse_foreign(body)
        events = read_events(email_format, document)
        if (token := token_of(email_format, document)) is not None:
            await self._bind(email_format, token, events)
        suppressions = []
        turns = Turns()
        for event in events:
            if (one := _suppression(email_format, event)) is not None:
                suppressions.append(one)
            await turns.give()
        by = Principal(f"webhook {email_format}", Role.WRITE, request[REQUEST_ID])
        for start in range(0, len(suppressions), BATCH_EVENTS):
            await self._suppressions.add(suppressions[start : start + BATCH_EVENTS], by=by)
        counted = Counter(event.kind for event in events)
        for kind, count in counted.items():
            self._metrics.email_events.labels(email_format, kind).inc(count)
        log.info(
            "email_events_received",
            format=email_format,
            suppressed=len(suppressions),
            **{kind.value: counted[kind] for kind in EmailEventKind},
        )
        ignored = len(events) - len(suppressions)
        return json_response(EmailEventsResultAnswer.json(suppressed=len(suppressions), ignored=ignored))

    def _verify(self, email_format: EmailFormat, keys: list[bytes], webhook: Webhook) -> None:
        """Raise Problem unless the webhook is from the service, and recent by the database's clock."""
        now = self._clock.now()
        if now is None:
            raise Problem(UNAVAILABLE, "The database's clock is not known yet.", headers={"Retry-After": "1"})
        try:
            verify(email_format, keys, webhook, now)
        except NotAuthentic as error:
            raise _refusal(email_format, str(error)) from error

    async def _bind(self, email_format: EmailFormat, token: bytes, events: list[EmailEvent]) -> None:
        """Raise Problem if the token came with other events before. The same events may come again.

        Tokens are remembered beside the keys of requests, for 24 hours: longer than any timestamp is valid.
        """
        key = sha256(b"webhook " + email_format.encode() + b"\0" + token).digest()
        said = [[event.kind, event.email if isinstance(event.email, str) else None] for event in events]
        fingerprint = sha256(orjson.dumps(said)).digest()
        match await self._idempotency.reserve(key, fingerprint):
            case None:
                raise Problem(UNAVAILABLE, "The same webhook arrives twice.", headers={"Retry-After": "1"})
            case KeptResponse(fingerprint=before) if before != fingerprint:
                raise _refusal(email_format, "the token came with other events before")


def _refusal(email_format: EmailFormat, reason: str) -> Problem:
    """The answer to a webhook that is not authentic, and its line in the log."""
    log.warning("email_events_refused", format=email_format, reason=reason)
    detail = f"{reason[0].upper()}{reason[1:]}."
    return Problem(NOT_AUTHENTIC, detail, headers={"WWW-Authenticate": "Bearer"})


def _suppression(email_format: EmailFormat, event: EmailEvent) -> NewSuppression | None:
    """The suppression that an event asks for; None for one without a reason or a valid address."""
    if (reason := event.kind.suppresses) is None:
        return None
    try:
        address = _ADDRESS.deserialize(event.email)
    except ValidationError as error:
        error.__traceback__ = None  # else its frames refer to it until the collector runs
        return None
    # A late event may be about a user who was erased: such an address is not stored again.
    return NewSuppression(address, reason, email_format, keep_address=False)
