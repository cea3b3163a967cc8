"""The webhooks of email services: signatures, and the suppressions that they make.

The payloads are samples of the providers' documentation, shortened. `service.api.email_events` names the pages.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from service import turns
from service.api.http.body import BodyMemory
from service.api.routes import email_events
from service.api_keys import parse_api_keys
from service.domain.email_events import EmailEvent
from service.domain.email_formats import EmailFormat
from service.domain.suppressions import NewSuppression
from service.email_event_secrets import checked_email_event_secrets, parse_email_event_secrets
from service.environment import Secret, SecretFile
from tests.node.harness import eventually
from tests.service.api.conftest import Api, Serve
from tests.service.api.test_suppressions import listed

PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = b64encode(PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
SVIX = b64encode(b"the key of a test of svix").decode()
SECRETS = {
    "postmark": "postmark-secret-1",
    "brevo": "brevo-secret-0001",
    "mailgun": "mailgun-signing-key",
    "resend": f"whsec_{SVIX}",
    "sendgrid": PUBLIC,
}
ALL = ",".join(f"{name}:{secret}" for name, secret in SECRETS.items())

POSTMARK = {
    "RecordType": "Bounce",
    "MessageStream": "outbound",
    "ID": 42,
    "Type": "HardBounce",
    "TypeCode": 1,
    "Name": "Hard bounce",
    "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
    "Email": "john@example.com",
    "BouncedAt": "2014-08-01T13:28:10.2735393-04:00",
    "Inactive": True,
}
POSTMARK_COMPLAINT = {
    "RecordType": "SpamComplaint",
    "Type": "SpamComplaint",
    "TypeCode": 512,
    "Email": "john@example.com",
}
POSTMARK_CHANGE = {
    "RecordType": "SubscriptionChange",
    "Recipient": "john@example.com",
    "Origin": "Recipient",
    "SuppressSending": True,
    "SuppressionReason": "ManualSuppression",
}
SENDGRID = {
    "email": "john@example.com",
    "timestamp": 1513299569,
    "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
    "event": "bounce",
    "type": "bounce",
    "category": "cat facts",
    "sg_event_id": "sg_event_id",
    "reason": "500 unknown recipient",
    "status": "5.0.0",
}
SENDGRID_DROP = {"email": "john@example.com", "event": "dropped", "status": "5.0.0", "sg_event_id": "sg_event_id"}
MAILGUN = {
    "event": "failed",
    "severity": "permanent",
    "reason": "bounce",
    "recipient": "john@example.com",
    "delivery-status": {"code": 550, "message": "5.1.1 no such mailbox"},
}
RESEND = {
    "type": "email.bounced",
    "created_at": "2026-11-22T23:41:12.126Z",
    "data": {
        "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
        "from": "Acme <onboarding@resend.dev>",
        "to": ["john@example.com"],
        "bounce": {
            "message": "The recipient's address is on the suppression list",
            "subType": "Suppressed",
            "type": "Permanent",
        },
    },
}
RESEND_SUPPRESSION = {
    "type": "suppression.added",
    "data": {"id": "e169aa45-1ecf-4183-9955-b1499d5701d3", "email": "john@example.com", "origin": "bounce"},
}
BREVO = {
    "event": "hard_bounce",
    "email": "john@example.com",
    "id": 1,
    "date": "2020-10-09 00:00:00",
    "ts_event": 1604933654,
}

Sign = Callable[[object, int, bool], tuple[dict[str, str], bytes]]


def now() -> int:
    return int(datetime.now(UTC).timestamp())


def by_token(name: str) -> Sign:
    def sign(document: object, _at: int, right: bool) -> tuple[dict[str, str], bytes]:
        return {"Authorization": f"Bearer {SECRETS[name] if right else 'x' * 17}"}, json.dumps(document).encode()

    return sign


def by_password(document: object, _at: int, right: bool) -> tuple[dict[str, str], bytes]:
    password = SECRETS["postmark"] if right else "x" * 17
    given = b64encode(f"anyone:{password}".encode()).decode()
    return {"Authorization": f"Basic {given}"}, json.dumps(document).encode()


def sendgrid(document: object, at: int, right: bool) -> tuple[dict[str, str], bytes]:
    body = json.dumps(document).encode() + b"\r\n"  # as SendGrid ends a body
    key = PRIVATE if right else ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(f"{at}".encode() + body, ec.ECDSA(SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Signature": b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": str(at),
    }, body


def mailgun(document: object, at: int, right: bool) -> tuple[dict[str, str], bytes]:
    token = "e0b5477167110d68991efc6b9f89f0a11066af27834600e123"
    key = SECRETS["mailgun"].encode() if right else b"another key of a test"
    signature = hmac.digest(key, f"{at}{token}".encode(), "sha256").hex()
    signed = {"token": token, "timestamp": str(at), "signature": signature}
    return {}, json.dumps({"signature": signed, "event-data": document}).encode()


def svix(document: object, at: int, right: bool) -> tuple[dict[str, str], bytes]:
    body = json.dumps(document).encode()
    key = b"the key of a test of svix" if right else b"another key"
    signature = b64encode(hmac.digest(key, f"msg_1.{at}.".encode() + body, "sha256")).decode()
    return {"svix-id": "msg_1", "svix-timestamp": str(at), "svix-signature": f"v1,AAAA v1,{signature}"}, body


CASES: list[Any] = [
    pytest.param("postmark", by_token("postmark"), POSTMARK, id="postmark by a header"),
    pytest.param("postmark", by_password, POSTMARK, id="postmark by a password"),
    pytest.param("sendgrid", sendgrid, [SENDGRID], id="sendgrid"),
    pytest.param("mailgun", mailgun, MAILGUN, id="mailgun"),
    pytest.param("resend", svix, RESEND, id="resend"),
    pytest.param("brevo", by_token("brevo"), BREVO, id="brevo"),
]
SIGNS: dict[str, Sign] = {
    "postmark": by_token("postmark"),
    "sendgrid": sendgrid,
    "mailgun": mailgun,
    "resend": svix,
    "brevo": by_token("brevo"),
}
STALE = {"sendgrid": 25 * 3600, "mailgun": 9 * 3600, "resend": 300}


async def served(serve: Serve, secrets: str = ALL, **more: Any) -> Api:
    return await serve({"email_events_secrets": parse_email_event_secrets(secrets), **more})


async def post(api: Api, name: str, signed: tuple[dict[str, str], bytes], **headers: str) -> tuple[int, Any]:
    return await api.call(
        "POST",
        f"/api/v1/email-events/{name}",
        headers={"Content-Type": "application/json", **signed[0], **headers},
        data=signed[1],
    )


@pytest.mark.parametrize(("name", "sign", "document"), CASES)
async def test_a_permanent_bounce_suppresses_the_address_once(
    serve: Serve, name: str, sign: Sign, document: object
) -> None:
    """It needs no API key, and may be repeated."""
    api = await served(serve, api_keys=parse_api_keys("desk:read:the-key-of-the-desk"))
    answers = [await post(api, name, sign(document, now(), True)) for _ in range(2)]

    assert answers == [(200, {"suppressed": 1, "ignored": 0})] * 2
    key = {"headers": {"Authorization": "Bearer the-key-of-the-desk"}}
    _, page = await api.call("GET", "/api/v1/suppressions", **key)
    assert [(one["email"], one["reason"], one["source"]) for one in page["items"]] == [(None, "bounce", name)]
    text = generate_latest(api.dependencies.metrics.registry).decode()
    assert f'email_events_total{{event="bounce",format="{name}"}} 2.0' in text


@pytest.mark.parametrize(("name", "sign", "document"), CASES)
async def test_a_wrong_secret_or_signature_is_refused(serve: Serve, name: str, sign: Sign, document: object) -> None:
    """The log has the reason, but neither the secret nor the address."""
    api = await served(serve)
    with capture_logs() as lines:
        status, problem = await post(api, name, sign(document, now(), False))

    assert (status, problem["type"]) == (401, "/problems/webhook-not-authentic")
    assert await listed(api) == []
    [line] = [line for line in lines if line["event"] == "email_events_refused"]
    assert line["format"] == name
    assert "john@example.com" not in str(lines)
    assert SECRETS[name] not in str(lines)


@pytest.mark.parametrize("name", STALE)
async def test_an_old_or_a_future_timestamp_is_refused(serve: Serve, name: str) -> None:
    """A recorded webhook must not be valid for ever."""
    api = await served(serve)
    sign = SIGNS[name]
    for at in (now() - STALE[name] - 5, now() + 330):
        assert (await post(api, name, sign({}, at, True)))[0] == 401, at
    assert (await post(api, name, sign({}, now() - STALE[name] + 60, True)))[0] == 200


@pytest.mark.parametrize("name", ["sendgrid", "resend"])
async def test_a_changed_body_is_refused(serve: Serve, name: str) -> None:
    """Of all formats, only Mailgun does not sign the body."""
    api = await served(serve)
    headers, body = SIGNS[name]([SENDGRID] if name == "sendgrid" else RESEND, now(), True)

    assert (await post(api, name, (headers, body.replace(b"john", b"jane"))))[0] == 401


async def test_a_token_of_mailgun_stands_for_the_events_that_came_with_it(serve: Serve) -> None:
    """Mailgun does not sign the body. Who sees one webhook must not suppress another address with its signature."""
    api, other_node = await served(serve), await served(serve)
    at = now()
    assert (await post(api, "mailgun", mailgun(MAILGUN, at, True)))[0] == 200
    forged = [MAILGUN | {"recipient": "jane@example.com"}, MAILGUN | {"event": "complained"}, {}]
    with capture_logs() as lines:
        answers = [await post(node, "mailgun", mailgun(one, at, True)) for one in forged for node in (api, other_node)]

    assert {(status, problem["type"]) for status, problem in answers} == {(401, "/problems/webhook-not-authentic")}
    assert [line["reason"] for line in lines if line["event"] == "email_events_refused"] == [
        "the token came with other events before"
    ] * 6
    assert await listed(api) == [(None, "bounce")]
    again = MAILGUN | {"delivery-status": {"attempt-no": 2}}  # as Mailgun repeats a webhook whose answer was lost
    assert await post(other_node, "mailgun", mailgun(again, at, True)) == (200, {"suppressed": 1, "ignored": 0})
    assert (await post(api, "mailgun", mailgun(MAILGUN | {"event": "complained"}, at + 1, True)))[0] == 200


async def test_a_token_of_mailgun_that_comes_twice_at_once_is_taken_once(serve: Serve) -> None:
    """One of the two was there first; the other is refused, or may come again."""
    api = await served(serve)
    at = now()
    documents = [MAILGUN | {"recipient": f"john{number}@example.com"} for number in range(8)]
    answers = await asyncio.gather(*(post(api, "mailgun", mailgun(one, at, True)) for one in documents))

    assert {status for status, _ in answers} <= {200, 401, 503}
    assert [status for status, _ in answers].count(200) == 1
    assert len(await listed(api)) == 1


@pytest.mark.parametrize("name", SECRETS)
async def test_a_webhook_without_its_signature_is_refused(serve: Serve, name: str) -> None:
    """A webhook with repeated or invalid headers is refused, too."""
    api = await served(serve)
    assert (await post(api, name, ({}, b"{}")))[0] == 401
    nonsense = {
        "Authorization": "Basic ö",
        "svix-id": "1", "svix-timestamp": "٣", "svix-signature": "v1,ö v2,x",
        "X-Twilio-Email-Event-Webhook-Signature": "ö", "X-Twilio-Email-Event-Webhook-Timestamp": "-1",
    }  # fmt: skip
    for body in (b"{}", b'{"signature": {"timestamp": true, "token": 1, "signature": "\xc3\xb6"}}', b"[]"):
        assert (await post(api, name, (nonsense, body)))[0] == 401


@pytest.mark.parametrize("name", [*SECRETS, "ses", "default", "fax"])
async def test_a_format_without_a_secret_is_not_found(serve: Serve, name: str) -> None:
    """The routes of unused services are closed."""
    api = await served(serve, "brevo:brevo-secret-0001" if name != "brevo" else "postmark:postmark-secret-1")
    sign = SIGNS.get(name, by_token("brevo"))

    assert (await post(api, name, sign({}, now(), True)))[0] == 404


KINDS: list[tuple[str, object, str]] = [
    ("postmark", POSTMARK_COMPLAINT, "complaint"),
    ("postmark", POSTMARK_CHANGE, "opt_out"),
    ("postmark", POSTMARK_CHANGE | {"SuppressSending": False}, "other"),
    ("postmark", POSTMARK | {"Type": "SoftBounce", "TypeCode": 4096}, "soft_bounce"),
    ("postmark", POSTMARK | {"Type": ["HardBounce"]}, "soft_bounce"),
    ("postmark", POSTMARK | {"Type": "BadEmailAddress", "TypeCode": 100000}, "bounce"),
    ("postmark", POSTMARK | {"Type": "SpamNotification", "TypeCode": 512}, "soft_bounce"),
    ("postmark", POSTMARK | {"Type": "Unsubscribe", "TypeCode": 16}, "opt_out"),
    ("postmark", POSTMARK | {"Type": "ManuallyDeactivated", "TypeCode": 100002}, "opt_out"),
    ("postmark", POSTMARK | {"Type": "Subscribe", "TypeCode": 32}, "other"),
    ("postmark", POSTMARK | {"Type": "AutoResponder", "TypeCode": 64}, "other"),
    ("postmark", POSTMARK | {"Type": "Blocked", "TypeCode": 100006}, "soft_bounce"),
    ("postmark", POSTMARK_CHANGE | {"SuppressionReason": "a new one"}, "opt_out"),
    ("postmark", {"RecordType": "Open", "Recipient": "john@example.com"}, "other"),
    ("sendgrid", [SENDGRID | {"event": "spamreport"}], "complaint"),
    ("sendgrid", [SENDGRID | {"event": "unsubscribe"}], "opt_out"),
    ("sendgrid", [SENDGRID | {"event": "group_unsubscribe"}], "opt_out"),
    ("sendgrid", [SENDGRID | {"event": "group_resubscribe"}], "other"),
    ("sendgrid", [SENDGRID | {"type": "blocked"}], "soft_bounce"),
    ("sendgrid", [SENDGRID_DROP | {"reason": "Bounced Address"}], "bounce"),
    ("sendgrid", [SENDGRID_DROP | {"reason": "Invalid"}], "bounce"),
    ("sendgrid", [SENDGRID_DROP | {"reason": "Spam Reporting Address"}], "complaint"),
    ("sendgrid", [SENDGRID_DROP | {"reason": "Unsubscribed Address"}], "opt_out"),
    ("sendgrid", [SENDGRID_DROP | {"reason": "Spam Content"}], "soft_bounce"),
    ("sendgrid", [SENDGRID_DROP | {"reason": ["Invalid"]}], "soft_bounce"),
    ("sendgrid", [SENDGRID | {"event": "delivered"}], "other"),
    ("mailgun", MAILGUN | {"event": "complained"}, "complaint"),
    ("mailgun", MAILGUN | {"event": "unsubscribed"}, "opt_out"),
    ("mailgun", MAILGUN | {"reason": "suppress-unsubscribe"}, "opt_out"),
    ("mailgun", MAILGUN | {"reason": "suppress-bounce"}, "bounce"),
    ("mailgun", MAILGUN | {"reason": "suppress-complaint"}, "complaint"),
    ("mailgun", MAILGUN | {"reason": "old"}, "soft_bounce"),
    ("mailgun", MAILGUN | {"severity": "temporary"}, "soft_bounce"),
    ("mailgun", {"event": "opened", "recipient": "john@example.com"}, "other"),
    ("resend", RESEND | {"type": "email.complained"}, "complaint"),
    ("resend", RESEND | {"data": {"to": ["john@example.com"], "bounce": {"type": "Transient"}}}, "soft_bounce"),
    ("resend", RESEND | {"data": {"to": ["john@example.com"], "bounce": {"type": "Undetermined"}}}, "soft_bounce"),
    ("resend", RESEND | {"type": "email.suppressed", "data": {"to": ["john@example.com"]}}, "bounce"),
    ("resend", RESEND_SUPPRESSION, "bounce"),
    ("resend", RESEND_SUPPRESSION | {"data": {"email": "john@example.com", "origin": "complaint"}}, "complaint"),
    ("resend", RESEND_SUPPRESSION | {"data": {"email": "john@example.com", "origin": "manual"}}, "opt_out"),
    ("resend", RESEND_SUPPRESSION | {"type": "suppression.removed"}, "other"),
    ("resend", RESEND | {"type": "email.failed"}, "other"),
    ("resend", RESEND | {"type": "email.delivered"}, "other"),
    ("brevo", BREVO | {"event": "spam"}, "complaint"),
    ("brevo", BREVO | {"event": "complaint"}, "complaint"),
    ("brevo", BREVO | {"event": "unsubscribed"}, "opt_out"),
    ("brevo", BREVO | {"event": "unsubscribe"}, "opt_out"),
    ("brevo", BREVO | {"event": "invalid_email"}, "bounce"),
    ("brevo", BREVO | {"event": "blocked"}, "soft_bounce"),
    ("brevo", BREVO | {"event": "error"}, "soft_bounce"),
    ("brevo", [BREVO | {"event": "soft_bounce"}], "soft_bounce"),
    ("brevo", BREVO | {"event": "a new one"}, "other"),
]


@pytest.mark.parametrize(("name", "document", "kind"), KINDS)
async def test_each_event_has_its_kind(serve: Serve, name: str, document: object, kind: str) -> None:
    """Soft bounces and unknown events suppress nothing."""
    api = await served(serve)
    with capture_logs() as lines:
        status, _ = await post(api, name, SIGNS[name](document, now(), True))

    assert status == 200
    expected = [] if kind in ("soft_bounce", "other") else [(None, kind)]
    assert await listed(api) == expected
    [line] = [line for line in lines if line["event"] == "email_events_received"]
    assert (line["format"], line[kind]) == (name, 1)
    assert "john" not in str(lines)


ODD: list[object] = [
    {}, [], [1, None, []], "text", 7, None,
    {"signature": 1, "event-data": 1, "data": 1, "type": {}, "event": {}, "RecordType": []},
    {"type": "email.bounced", "data": {"to": ["a@example.com", "b@example.com"], "bounce": {"type": "Permanent"}}},
    {"event": "hard_bounce", "email": "no address"},
    {"event": "hard_bounce", "email": "\0@example.com"},
    [{"event": "bounce", "type": "bounce", "email": {"a": 1}}],
]  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
async def test_a_document_that_makes_no_sense_changes_nothing(serve: Serve, name: str) -> None:
    """It is accepted, because the provider would repeat a refused one for hours."""
    api = await served(serve)
    for document in ODD:
        assert (await post(api, name, SIGNS[name](document, now(), True)))[0] == 200, document
    assert await listed(api) == []


async def test_a_webhook_stores_an_address_only_if_a_user_has_it(serve: Serve) -> None:
    """A bounce may come after its user was erased: the row finds the address by its hash."""
    api = await served(serve)
    user = await api.create(email="John@example.com", birthdayDate="1990-05-05")
    await post(api, "postmark", SIGNS["postmark"](POSTMARK, now(), True))
    _, known = await api.call("GET", "/api/v1/suppressions?email=john@example.com")
    await api.call("DELETE", f"/api/v1/users/{user['id']}?erase=true")
    await post(api, "postmark", SIGNS["postmark"](POSTMARK_CHANGE, now(), True))
    _, erased = await api.call("GET", "/api/v1/suppressions?email=john@example.com")

    assert [(one["email"], one["reason"]) for one in known["items"]] == [("john@example.com", "bounce")]
    assert [(one["email"], one["reason"]) for one in erased["items"]] == [(None, "bounce"), (None, "opt_out")]


async def test_a_batch_of_sendgrid_is_one_request(serve: Serve) -> None:
    """It may be larger than other bodies, and two nodes may get the same batch at once."""
    api = await served(serve)
    events = [SENDGRID | {"email": f"john{n}@example.com"} for n in range(1200)]
    batch, backwards = sendgrid(events, now(), True), sendgrid(events[::-1], now(), True)
    assert len(batch[1]) > 256 * 1024

    answers = await asyncio.gather(post(api, "sendgrid", batch), post(api, "sendgrid", backwards))
    assert list(answers) == [(200, {"suppressed": 1200, "ignored": 0})] * 2
    [row] = await api.database.fetch("select count(*) from suppressions")
    assert row["count"] == 1200


async def in_chunks(part: bytes, times: int) -> AsyncIterator[bytes]:
    """A body without a Content-Length."""
    for _ in range(times):
        yield part


async def test_a_webhook_is_bounded_and_json(serve: Serve) -> None:
    """The body is read up to the limit only."""
    api = await served(serve)
    headers, body = by_token("brevo")(BREVO, now(), True)

    for too_large in (BytesIO(b" " * (1024 * 1024 + 1)), in_chunks(b" " * 1024, 1025)):
        options = {"headers": {"Content-Type": "application/json", **headers}, "data": too_large}
        assert (await api.call("POST", "/api/v1/email-events/brevo", **options))[0] == 413
    assert (await post(api, "brevo", (headers, b"{")))[0] == 400
    assert (await post(api, "brevo", (headers, body), **{"Content-Type": "text/plain"}))[0] == 415
    assert (await post(api, "brevo", (headers, body), **{"Idempotency-Key": "one"}))[0] == 200


async def test_webhooks_that_arrive_at_once_take_bounded_memory(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body is read before its signature is checked, so a client without a secret can send many slowly."""
    monkeypatch.setattr(email_events, "MAX_ARRIVING_BYTES", 2_000)
    monkeypatch.setattr(email_events, "COUNTED_BYTES", 100)
    arrived, release = asyncio.Event(), asyncio.Event()
    take = BodyMemory.take

    def noted(memory: BodyMemory, count: int) -> None:
        take(memory, count)
        if count > 1_000:
            arrived.set()

    monkeypatch.setattr(BodyMemory, "take", noted)
    api = await served(serve)

    async def slow() -> AsyncIterator[bytes]:
        yield b" " * 1_500
        await release.wait()
        yield b"{}"

    headers = {"Content-Type": "application/json", **by_token("brevo")({}, now(), True)[0]}
    first = asyncio.create_task(api.call("POST", "/api/v1/email-events/brevo", data=slow(), headers=headers))
    await arrived.wait()
    another = headers, b"{}" + b" " * 1_000
    refused = await post(api, "brevo", another)
    release.set()

    assert (refused[0], refused[1]["type"]) == (503, "/problems/busy")
    assert (await first)[0] == 200
    assert (await post(api, "brevo", another))[0] == 200


async def test_webhooks_that_never_arrive_leave_requests_to_others(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need no secret, and each is waited for."""
    monkeypatch.setattr(email_events, "MAX_ARRIVING_BYTES", 2 * email_events.COUNTED_BYTES)
    waiting, release = asyncio.Semaphore(0), asyncio.Event()
    api = await served(serve)

    async def silent() -> AsyncIterator[bytes]:
        yield b" "  # the client sends the head with it
        waiting.release()
        await release.wait()
        yield b"{}"

    async def send(content: Any) -> int:
        headers = {"Content-Type": "application/json", **by_token("brevo")({}, now(), True)[0]}
        return (await api.call("POST", "/api/v1/email-events/brevo", data=content, headers=headers))[0]

    held = [asyncio.create_task(send(silent())) for _ in range(2)]
    for _ in held:
        await waiting.acquire()

    async def refused() -> bool:
        return await send(b"{}") == 503

    await eventually(refused)  # the two may still be on their way
    assert (await api.call("GET", "/api/v1/me"))[0] == 200
    release.set()

    assert [await one for one in held] == [200, 200]
    assert await send(b"{}") == 200


async def test_the_event_loop_turns_between_two_events(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking 9,000 addresses of one batch took seconds. Greetings must not wait for it."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    passed, seen = 0, []
    read = email_events._suppression

    def noted(email_format: EmailFormat, event: EmailEvent) -> NewSuppression | None:
        seen.append(passed)
        return read(email_format, event)

    monkeypatch.setattr(email_events, "_suppression", noted)
    api = await served(serve)
    posting = asyncio.create_task(post(api, "sendgrid", sendgrid([SENDGRID] * 100, now(), True)))
    while not posting.done():
        await asyncio.sleep(0)
        passed += 1

    assert (await posting)[0] == 200
    assert len(seen) == len(set(seen)) == 100


async def test_a_secret_is_changed_without_a_restart(serve: Serve, tmp_path: Path) -> None:
    """Old and new secret can be valid together. A file with an error changes nothing."""
    file = tmp_path / "secrets"
    file.write_text("brevo:brevo-secret-0001\n", encoding="utf-8")
    old = Secret("brevo:brevo-secret-0001")
    watched = SecretFile("EMAIL_EVENTS_SECRETS", file, checked_email_event_secrets, old)
    api = await served(serve, old, secret_files=(watched,))
    new = ({"Authorization": "Bearer brevo-secret-0002"}, b"{}")
    assert (await post(api, "brevo", new))[0] == 401

    file.write_text("brevo:brevo-secret-0001\nbrevo:brevo-secret-0002\n", encoding="utf-8")
    assert (await post(api, "brevo", new))[0] == 200
    assert (await post(api, "brevo", by_token("brevo")({}, now(), True)))[0] == 200

    file.write_text("fax:brevo-secret-0001\n", encoding="utf-8")
    assert (await post(api, "brevo", new))[0] == 200


async def test_a_restarted_api_takes_the_secrets_of_the_file_and_not_those_of_the_start(
    serve: Serve, tmp_path: Path
) -> None:
    """A secret that was withdrawn must not be valid again."""
    file = tmp_path / "secrets"
    file.write_text("brevo:brevo-secret-0002\n", encoding="utf-8")
    old = Secret("brevo:brevo-secret-0001")
    watched = SecretFile("EMAIL_EVENTS_SECRETS", file, checked_email_event_secrets, old)

    api = await served(serve, old, secret_files=(watched,))

    assert (await post(api, "brevo", by_token("brevo")({}, now(), True)))[0] == 401
    assert (await post(api, "brevo", ({"Authorization": "Bearer brevo-secret-0002"}, b"{}")))[0] == 200


async def test_a_change_by_a_webhook_is_in_the_audit_log(serve: Serve) -> None:
    """Its author is the webhook instead of a key."""
    api = await served(serve)
    await post(api, "brevo", by_token("brevo")(BREVO, now(), True))

    _, page = await api.call("GET", "/api/v1/audit?action=suppression.added")
    assert [one["key"] for one in page["items"]] == ["webhook brevo"]


async def test_the_document_shows_how_a_webhook_is_authenticated(serve: Serve) -> None:
    """A webhook needs no API key."""
    _, document = await (await served(serve)).call("GET", "/openapi.json")
    security = document["paths"]["/api/v1/email-events/{format}"]["post"]["security"]

    assert {name for one in security for name in one} == set(document["components"]["securitySchemes"]) - {"key"}


async def test_without_the_database_s_clock_the_provider_tries_again(serve: Serve) -> None:
    """A timestamp cannot be checked before the clock is known."""
    api = await served(serve)
    api.dependencies.clock._reading = None

    assert (await post(api, "brevo", by_token("brevo")(BREVO, now(), True)))[0] == 503


REFUSED = ["brevo", "fax:brevo-secret-0001", "ses:brevo-secret-0001", "brevo:short", "resend:whsec_not base64 at all",
           f"sendgrid:{SVIX}", "sendgrid:no base64 at all ö"]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_a_secret_that_makes_no_sense_is_refused_without_showing_it(text: str) -> None:
    """The error names its position."""
    with pytest.raises(ValueError, match="see secret 2") as refused:
        parse_email_event_secrets(f"{ALL.split(',', maxsplit=1)[0]},{text}")
    assert "brevo-secret" not in str(refused.value)


def test_secrets_do_not_show_themselves() -> None:
    """They may occur in a traceback."""
    secrets = parse_email_event_secrets("brevo:brevo-secret-0001")
    assert "brevo-secret" not in repr(secrets) + repr(asdict(secrets[0]))
