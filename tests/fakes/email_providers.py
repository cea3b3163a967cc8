"""Fakes of email services, written from their public documentation, with the errors that it lists.

service/adapters/email/formats/ names the pages.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.header import decode_header, make_header
from email.utils import parseaddr
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import orjson
from aiohttp import web

from service.adapters.email.answers import basic
from service.domain.email_formats import EmailFormat
from service.domain.messages import Outcome, UnavailableReason

TOKEN = "AKIDEXAMPLE:wJalrXUtnFEMI"
SENDER = "Grüße <greetings@example.com>"

T, P = Outcome.TRANSIENT_FAILURE, Outcome.PERMANENT_FAILURE
NOT_AUTHORISED, REFUSING = UnavailableReason.NOT_AUTHORISED, UnavailableReason.REFUSING


@dataclass(frozen=True)
class Mistake:
    """A documented error, and its subject: this message, the rate, or the service with the reason."""

    status: int
    body: Any
    outcome: Outcome
    reason: UnavailableReason | None = None
    throttled: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivered:
    """A message that the fake accepted. `key` identifies repeated requests."""

    key: UUID
    to: str
    sender: tuple[str, str]
    subject: str
    text: str


@dataclass(frozen=True)
class Dialect:
    """The API of one service: path, authentication, body, answer and errors. `remembers`: it accepts a key once."""

    path: str
    opens: Callable[[web.Request], bool]
    read: Callable[[web.Request, bytes], Delivered]
    answer: Callable[[str], tuple[int, dict[str, str], Any]]
    mistakes: Mapping[str, Mistake]
    remembers: bool = False
    repeated: tuple[int, Any] | None = None
    base: str = ""
    has_sender: bool = True
    tells_id: bool = True


class FakeProvider:
    """Accepts messages in a dialect. `faults` apply to the next requests: the name of a mistake, or `cut`."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.faults: list[str | None] = []
        self.books: list[Delivered] = []
        self.requests = 0
        self._answers: dict[UUID, str] = {}

    async def listen(self) -> None:
        """Listen on a free loopback port."""
        app = web.Application()
        app.router.add_post(f"{self.dialect.base}{self.dialect.path}", self._take)
        app.router.add_get("/{anything:.*}", self._look)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}{self.dialect.base}"

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _look(self, request: web.Request) -> web.Response:
        return web.json_response({}, status=200 if self.dialect.opens(request) else 401)

    async def _take(self, request: web.Request) -> web.Response:
        self.requests += 1
        body, dialect = await request.read(), self.dialect
        fault = self.faults.pop(0) if self.faults else None
        if not dialect.opens(request):
            return web.json_response({"message": "unauthorized"}, status=401)
        if fault is not None and fault != "cut":
            mistake = dialect.mistakes[fault]
            return _response(mistake.status, mistake.headers, mistake.body)
        mail = dialect.read(request, body)
        if not (dialect.remembers and mail.key in self._answers):
            self.books.append(mail)
            self._answers[mail.key] = f"id-{len(self.books)}"
        elif dialect.repeated is not None:
            return _response(dialect.repeated[0], {}, dialect.repeated[1])
        if fault == "cut":
            transport = request.transport
            assert transport is not None
            with suppress(OSError):
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            transport.abort()
            return web.Response()
        return _response(*dialect.answer(self._answers[mail.key]))


def _response(status: int, headers: Mapping[str, str], body: Any) -> web.Response:
    content = b"" if body is None else body.encode() if isinstance(body, str) else orjson.dumps(body)
    return web.Response(status=status, headers=dict(headers), body=content, content_type="application/json")


def _header(name: str, value: str) -> Callable[[web.Request], bool]:
    return lambda request: request.headers.get(name) == value


def _signed(request: web.Request) -> bool:
    authorization = request.headers.get("Authorization", "")
    scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"
    return authorization.startswith(scope) and "/eu-west-1/ses/aws4_request, " in authorization and not request.query


def _default(request: web.Request, body: bytes) -> Delivered:
    fields = orjson.loads(body)
    assert fields.keys() == {"email", "message"}
    return Delivered(UUID(request.headers["Idempotency-Key"]), fields["email"], ("", ""), "", fields["message"])


def _postmark(request: web.Request, body: bytes) -> Delivered:
    fields = orjson.loads(body)
    key = UUID(fields["Metadata"]["heyday-message"])
    return Delivered(key, fields["To"], parseaddr(fields["From"]), fields["Subject"], fields["TextBody"])


def _sendgrid(request: web.Request, body: bytes) -> Delivered:
    fields = orjson.loads(body)
    [person], [content] = fields["personalizations"], fields["content"]
    assert content["type"] == "text/plain"
    sender = (fields["from"]["name"], fields["from"]["email"])
    key = UUID(fields["custom_args"]["heyday_message"])
    return Delivered(key, person["to"][0]["email"], sender, fields["subject"], content["value"])


def _mailgun(request: web.Request, body: bytes) -> Delivered:
    assert request.content_type == "application/x-www-form-urlencoded"
    fields = {name: value for name, [value] in parse_qs(body.decode(), strict_parsing=True).items()}
    key = UUID(fields["v:heyday-message"])
    return Delivered(key, fields["to"], parseaddr(fields["from"]), fields["subject"], fields["text"])


def _resend(request: web.Request, body: bytes) -> Delivered:
    fields = orjson.loads(body)
    key = UUID(request.headers["Idempotency-Key"])
    return Delivered(key, fields["to"][0], parseaddr(fields["from"]), fields["subject"], fields["text"])


def _brevo(request: web.Request, body: bytes) -> Delivered:
    fields = orjson.loads(body)
    sender = (fields["sender"]["name"], fields["sender"]["email"])
    key = UUID(fields["headers"]["idempotencyKey"])
    return Delivered(key, fields["to"][0]["email"], sender, fields["subject"], fields["textContent"])


def _ses(request: web.Request, body: bytes) -> Delivered:
    fields = orjson.loads(body)
    assert fields["FromEmailAddress"].isascii()
    simple = fields["Content"]["Simple"]
    key = UUID(fields["EmailTags"][0]["Value"])
    [to] = fields["Destination"]["ToAddresses"]
    name, address = parseaddr(fields["FromEmailAddress"])
    sender = (str(make_header(decode_header(name))), address)
    return Delivered(key, to, sender, simple["Subject"]["Data"], simple["Body"]["Text"]["Data"])


def _ses_error(kind: str, message: str, outcome: Outcome, **rest: Any) -> Mistake:
    status = rest.pop("status", 400)
    return Mistake(status, {"message": message}, outcome, headers={"x-amzn-ErrorType": f"{kind}:http://a/"}, **rest)


DIALECTS: Mapping[EmailFormat, Dialect] = {
    EmailFormat.DEFAULT: Dialect(
        path="/send-email",
        opens=_header("Authorization", f"Bearer {TOKEN}"),
        read=_default,
        answer=lambda found: (200, {}, {"success": True, "messageId": found}),
        remembers=True,
        has_sender=False,
        mistakes={
            "recipient": Mistake(422, {"error": "no such mailbox a@example.com"}, P),
            "busy": Mistake(503, {"error": "busy"}, T, REFUSING),
            "rate": Mistake(429, {"error": "slow down"}, T, throttled=True),
        },
    ),
    EmailFormat.POSTMARK: Dialect(
        path="/email",
        opens=_header("X-Postmark-Server-Token", TOKEN),
        read=_postmark,
        answer=lambda found: (200, {}, {"To": "a@example.com", "MessageID": found, "ErrorCode": 0, "Message": "OK"}),
        mistakes={
            "recipient": Mistake(422, {"ErrorCode": 300, "Message": "Error parsing 'To': a@example.com."}, P),
            "inactive": Mistake(422, {"ErrorCode": 406, "Message": "Found inactive addresses: a@example.com."}, P),
            "sender": Mistake(
                422, {"ErrorCode": 300, "Message": "Invalid 'From' address: 'a@example.com'."}, T, NOT_AUTHORISED
            ),
            "signature": Mistake(422, {"ErrorCode": 400, "Message": "no signature"}, T, NOT_AUTHORISED),
            "token": Mistake(401, {"ErrorCode": 10, "Message": "Bad or missing API token."}, T, NOT_AUTHORISED),
            "pending": Mistake(422, {"ErrorCode": 412, "Message": "Account is pending."}, T, NOT_AUTHORISED),
            "maintenance": Mistake(422, {"ErrorCode": 100, "Message": "Maintenance"}, T, REFUSING),
            "json": Mistake(422, {"ErrorCode": 402, "Message": "Invalid JSON"}, T, REFUSING),
            "rate": Mistake(429, {"ErrorCode": 429, "Message": "Rate limit exceeded"}, T, throttled=True),
            "busy": Mistake(503, None, T, REFUSING),
        },
    ),
    EmailFormat.SENDGRID: Dialect(
        path="/v3/mail/send",
        opens=_header("Authorization", f"Bearer {TOKEN}"),
        read=_sendgrid,
        answer=lambda found: (202, {"X-Message-Id": found}, None),
        mistakes={
            "recipient": Mistake(
                400,
                {"errors": [{"message": "No valid address.", "field": "personalizations.0.to.0.email"}]},
                P,
            ),
            "sender": Mistake(400, {"errors": [{"message": "Invalid from", "field": "from.email"}]}, T, REFUSING),
            "identity": Mistake(403, {"errors": [{"message": "not a verified Sender Identity"}]}, T, NOT_AUTHORISED),
            "key": Mistake(401, {"errors": [{"message": "authorization grant is invalid"}]}, T, NOT_AUTHORISED),
            "credits": Mistake(401, {"errors": [{"message": "Maximum credits exceeded"}]}, T, REFUSING),
            "accept": Mistake(406, {"errors": [{"message": "Missing Accept header"}]}, T, REFUSING),
            "too large": Mistake(413, {"errors": [{"message": "too large"}]}, P),
            "residency": Mistake(451, {"errors": [{"message": "data residency"}]}, T, REFUSING),
            "rate": Mistake(429, {"errors": [{"message": "too many requests"}]}, T, throttled=True),
            "busy": Mistake(500, {"errors": [{"message": "internal"}]}, T, REFUSING),
        },
    ),
    EmailFormat.MAILGUN: Dialect(
        base="/v3/mg.example.com",
        path="/messages",
        opens=_header("Authorization", basic("api", TOKEN)),
        read=_mailgun,
        answer=lambda found: (200, {}, {"id": found, "message": "Queued. Thank you."}),
        mistakes={
            "recipient": Mistake(
                400, {"message": "'to' parameter is not a valid address. please check documentation"}, P
            ),
            "sender": Mistake(
                400,
                {"message": "'from' parameter is not a valid address. please check documentation"},
                T,
                NOT_AUTHORISED,
            ),
            "no sender": Mistake(400, {"message": "from parameter is missing"}, T, NOT_AUTHORISED),
            "sandbox": Mistake(
                400,
                {
                    "message": "Sandbox subdomains are for test purposes only. Please add your own domain or add the "
                    "address to authorized recipients in Account Settings."
                },
                T,
                NOT_AUTHORISED,
            ),
            "key": Mistake(401, "Forbidden", T, NOT_AUTHORISED),
            "denied": Mistake(403, {"message": "access denied"}, T, NOT_AUTHORISED),
            "domain": Mistake(404, {"message": "Domain not found: mg.example.com"}, T, REFUSING),
            "rate": Mistake(429, {"message": "Too many requests"}, T, throttled=True),
            "busy": Mistake(500, {"message": "internal"}, T, REFUSING),
        },
    ),
    EmailFormat.RESEND: Dialect(
        path="/emails",
        opens=_header("Authorization", f"Bearer {TOKEN}"),
        read=_resend,
        answer=lambda found: (200, {}, {"id": found}),
        remembers=True,
        mistakes={
            "recipient": Mistake(422, {"name": "invalid_parameter", "message": "Invalid `to` field."}, P),
            "validation": Mistake(
                422,
                {
                    "name": "validation_error",
                    "message": "Invalid `to` field. The email address needs to follow the "
                    "`email@example.com` or `Name <email@example.com>` format.",
                },
                P,
            ),
            "key": Mistake(400, {"name": "validation_error", "message": "API key is invalid"}, T, NOT_AUTHORISED),
            "missing key": Mistake(401, {"name": "missing_api_key", "message": "Missing"}, T, NOT_AUTHORISED),
            "domain": Mistake(403, {"name": "validation_error", "message": "not verified"}, T, NOT_AUTHORISED),
            "sender": Mistake(422, {"name": "invalid_from_address", "message": "Invalid `from`"}, T, REFUSING),
            "from": Mistake(
                422,
                {
                    "name": "validation_error",
                    "message": "Invalid `from` field. The email address needs to follow the "
                    "`email@example.com` or `Name <email@example.com>` format.",
                },
                T,
                REFUSING,
            ),
            "other text": Mistake(409, {"name": "invalid_idempotent_request", "message": "used"}, T, REFUSING),
            "under way": Mistake(409, {"name": "concurrent_idempotent_requests", "message": "wait"}, T, REFUSING),
            "security": Mistake(451, {"name": "security_error", "message": "security issue"}, T, REFUSING),
            "rate": Mistake(429, {"name": "rate_limit_exceeded", "message": "2 a second"}, T, throttled=True),
            "quota": Mistake(429, {"name": "daily_quota_exceeded", "message": "quota"}, T, throttled=True),
            "busy": Mistake(500, {"name": "application_error", "message": "unexpected"}, T, REFUSING),
        },
    ),
    EmailFormat.BREVO: Dialect(
        path="/v3/smtp/email",
        opens=_header("api-key", TOKEN),
        read=_brevo,
        answer=lambda found: (201, {}, {"messageId": found}),
        remembers=True,
        repeated=(400, {"code": "duplicate_parameter", "message": "idempotencyKey was used"}),
        mistakes={
            "recipient": Mistake(400, {"code": "invalid_parameter", "message": "email is not valid in to"}, P),
            "sender": Mistake(
                400,
                {"code": "invalid_parameter", "message": "the sender you used a@example.com is not valid"},
                T,
                NOT_AUTHORISED,
            ),
            "field": Mistake(400, {"code": "missing_parameter", "message": "subject is missing"}, T, REFUSING),
            "key": Mistake(401, {"code": "unauthorized", "message": "Key not found"}, T, NOT_AUTHORISED),
            "credits": Mistake(402, {"code": "not_enough_credits", "message": "credits"}, T, REFUSING),
            "denied": Mistake(403, {"code": "permission_denied", "message": "denied"}, T, NOT_AUTHORISED),
            "rate": Mistake(429, {"code": "too_many_requests", "message": "slow"}, T, throttled=True),
            "busy": Mistake(500, {"code": "internal", "message": "oops"}, T, REFUSING),
        },
    ),
    EmailFormat.SES: Dialect(
        path="/v2/email/outbound-emails",
        opens=_signed,
        read=_ses,
        answer=lambda found: (200, {}, {"MessageId": found}),
        mistakes={
            "recipient": _ses_error("BadRequestException", "Illegal address a@example.com", P),
            "content": _ses_error("MessageRejected", "invalid content", P),
            "sandbox": _ses_error("MessageRejected", "Email address is not verified.", T, reason=NOT_AUTHORISED),
            "suspended": _ses_error("AccountSuspendedException", "restricted", T, reason=REFUSING),
            "paused": _ses_error("SendingPausedException", "paused", T, reason=REFUSING),
            "domain": _ses_error("MailFromDomainNotVerifiedException", "not verified", T, reason=REFUSING),
            "key": _ses_error("UnrecognizedClientException", "invalid", T, status=403, reason=NOT_AUTHORISED),
            "rate": _ses_error("TooManyRequestsException", "rate exceeded", T, status=429, throttled=True),
            "busy": _ses_error("InternalFailure", "internal", T, status=500, reason=REFUSING),
        },
    ),
}
