"""Tests SMTP against a real protocol engine, and against servers that break the protocol."""

from __future__ import annotations

import asyncio
import re
import ssl
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, message_from_string
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import compat32, default
from email.utils import getaddresses, parseaddr
from uuid import UUID

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.email.access import Access
from service.adapters.email.answers import Verdict
from service.adapters.email.formats.format import Sender, parse_sender
from service.adapters.email.smtp import SmtpEmailService
from service.adapters.email.smtp.message import compose
from service.adapters.email.smtp.replies import Reply, Stage, verdict_of
from service.domain.messages import Outcome, UnavailableReason
from service.domain.service_health import reason_of
from service.email_access import html
from service.environment import Secret
from service.ports import CircuitOpen, Greeting
from tests.fakes.mail_server import PASSWORD, USER, MailServer
from tests.service.adapters.email.raw_server import Behaviour, Connection, RawServer

SENDER = "Grüße & Co. <greetings@bücher.example>"
UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of characters that a header line cannot have."""

NAMES = [
    "Ann O'Hara",
    "José Nuñez",
    "Ольга",
    "王小明",
    "محمد",
    "🎂 Zoë",
    ".",
    "a\r\n.\r\nMAIL FROM:<x@y.z>",
    "=?utf-8?q?x?=",
]


def greeting(number: int = 7, text: str = "Hey", email: str = "mary@example.com", subject: str = "Happy") -> Greeting:
    """A greeting."""
    return Greeting(UUID(int=number), email, text, private=(email,), subject=subject)


@asynccontextmanager
async def opened(
    url: str, *, concurrency: int = 5, timeout: float = 5.0, **rest: object
) -> AsyncIterator[SmtpEmailService]:
    """A client of a mail server."""
    service = SmtpEmailService(
        url,
        sender=SENDER,
        timeout=timedelta(seconds=timeout),
        concurrency=concurrency,
        **rest,  # type: ignore[arg-type]
    )
    await service.open()
    try:
        yield service
    finally:
        await service.close()


@asynccontextmanager
async def mail_server(**options: object) -> AsyncIterator[MailServer]:
    """A mail server that is closed at the end."""
    server = MailServer(**options)  # type: ignore[arg-type]
    await server.listen()
    try:
        yield server
    finally:
        await server.close()


def plain(server: MailServer) -> str:
    """The URL of a server without TLS."""
    return f"smtp://127.0.0.1:{server.port}?starttls=off"


async def test_messages_arrive_whole_over_one_connection() -> None:
    """Names in every script arrive, and text that looks like an SMTP command stays text."""
    unsubscribe = "https://example.com/unsubscribe/" + "long/" * 20 + "?m={message_id}"
    async with mail_server() as server, opened(plain(server), unsubscribe=unsubscribe) as service:
        answers = [await service.attempt(greeting(number, f"Hey, {name}")) for number, name in enumerate(NAMES)]

    assert [(one.outcome, one.status_code, one.provider_id) for one in answers] == [
        (Outcome.ACCEPTED, 250, f"Q{number}") for number in range(1, len(NAMES) + 1)
    ]
    assert server.connections == 1
    texts = [one.get_content().replace("\r\n", "\n").rstrip("\n") for one in server.accepted]
    assert texts == [f"Hey, {name}".replace("\r\n", "\n") for name in NAMES]
    first = server.accepted[0]
    assert first["From"].addresses[0].display_name == "Grüße & Co."
    assert first["From"].addresses[0].addr_spec == "greetings@xn--bcher-kva.example"
    assert (str(first["To"]), str(first["Subject"])) == ("mary@example.com", "Happy")
    assert first["Message-ID"] == f"<{UUID(int=0)}@xn--bcher-kva.example>"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Date"].datetime is not None
    assert first["List-Unsubscribe"] == f"<{unsubscribe.replace('{message_id}', str(UUID(int=0)))}>"
    assert first.get_content_type() == "text/plain"


def test_a_document_in_html_stands_beside_the_plain_text() -> None:
    """The owner's design holds the greeting. No name adds markup to it."""
    text = "Hey, <b>Mary</b> & Jönes it's your birthday\nAll the best"
    sender = Sender("Ä", "a@b.example")

    envelope = compose(greeting(text=text), sender, unsubscribe=None, html="<html><body><p>{text}</p></body></html>")

    message = message_from_bytes(envelope.content, policy=default)
    plain, document = message.iter_parts()
    assert isinstance(plain, EmailMessage)
    assert isinstance(document, EmailMessage)
    assert message.get_content_type() == "multipart/alternative"
    assert plain.get_content().replace("\r\n", "\n").rstrip("\n") == text
    assert document.get_content_type() == "text/html"
    escaped = "Hey, &lt;b&gt;Mary&lt;/b&gt; &amp; Jönes it&#x27;s your birthday<br>\nAll the best"
    assert f"<p>{escaped}</p>" in document.get_content().replace("\r\n", "\n")


@pytest.mark.parametrize("text", ["<p>Hello</p>", "{text} and {text}"])
def test_a_document_without_one_place_for_the_greeting_is_refused(text: str) -> None:
    """Everybody would get a message without a greeting."""
    with pytest.raises(ValueError, match="once"):
        html(text)


@pytest.mark.parametrize("subject", ["a\r\nBcc: x@y.z", "a\nb", "é\r\nBcc: x@y.z" * 20, "\x00\x07", ""])
async def test_no_subject_adds_a_header(subject: str) -> None:
    """The name in a subject is text from a user."""
    async with mail_server() as server, opened(plain(server)) as service:
        answer = await service.attempt(greeting(subject=subject))

    assert (answer.outcome, server.recipients) == (Outcome.ACCEPTED, ["mary@example.com"])
    assert server.accepted[0]["Bcc"] is None


@pytest.mark.parametrize(
    "email", ["a b@example.com", "a>\r\nRCPT TO:<x@y.z>@example.com", "<x@y.z>", "no-at", "@example.com", "a@\x00b"]
)
async def test_an_address_that_could_be_a_command_is_refused_without_a_call(email: str) -> None:
    """The refusal is about this message, not about the server."""
    async with mail_server() as server, opened(plain(server)) as service:
        answer = await service.attempt(greeting(email=email))

    assert (answer.outcome, answer.called, server.connections) == (Outcome.PERMANENT_FAILURE, False, 0)


async def test_an_address_beyond_ascii_needs_a_server_that_takes_it() -> None:
    """A domain can be converted to ASCII, a local part cannot."""
    async with mail_server() as server, opened(plain(server)) as service:
        answers = [await service.attempt(greeting(email=one)) for one in ("zoë@example.com", "zoe@bücher.example")]

    assert [one.outcome for one in answers] == [Outcome.ACCEPTED] * 2
    assert server.recipients == ["zoë@example.com", "zoe@xn--bcher-kva.example"]


WORDS = ["=?utf-8?q?x=0ABcc:_x@y.z?=", "=?utf-8?b?CkJjYzogeEB5LnoK?=", "=?utf-8?q?x=0A=0Abody?="]
"""Encoded words (RFC 2047). If a library decodes them, they have a line break."""


@pytest.mark.parametrize("word", WORDS)
def test_an_encoded_word_in_a_subject_stays_text(word: str) -> None:
    """The name in a subject is text from a user, and the reader sees it as it was written."""
    content = compose(greeting(subject=f"Happy, {word}"), Sender("Ä", "a@b.example"), unsubscribe=None).content

    message = message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    assert (str(message["Subject"]), message["Bcc"]) == (f"Happy, {word}", None)
    assert message.get_content().splitlines()[0] == "Hey"


@pytest.mark.parametrize(
    "local", ["=?utf-8?q?a=0ABcc=3Ax?=", "=?utf-8?q?a=0A=0Ahello?=", "=?utf-8?b?CkJjYzogeEB5Lm9yZw==?="]
)
def test_an_encoded_word_in_an_address_stays_a_part_of_it(local: str) -> None:
    """RFC 2047, 5 (3): an address has no encoded words, so these are the characters of its local part."""
    envelope = compose(greeting(email=f"{local}@example.com"), Sender("Ä", "a@b.example"), unsubscribe=None)

    assert envelope.recipient == f"{local}@example.com"
    assert f"\r\nTo: {local}@example.com\r\n".encode() in envelope.content


SENDER_NAMES = [
    "Heyday",
    "Books, Inc.",
    'The "Best" \\ Books',
    "Books, Inc. and a very long name of a sender, which has seventyeight chars",
    "Grüße & Co.",
    "Grüße, " + "sehr lange " * 20 + "Grüße",
    "x" * 1200,
    *WORDS,
]


def mailbox_of(field: str) -> tuple[str, str]:
    """Name and address of the one mailbox in a header, by RFC 2047: no space between two encoded words counts.

    Python's own `default` policy has such spaces in a name, so it is not asked for the name.
    """
    unfolded = field.replace("\r\n", "")
    assert len(getaddresses([unfolded])) == 1
    name, address = parseaddr(unfolded)
    return str(make_header(decode_header(name))), address


@pytest.mark.parametrize("name", SENDER_NAMES)
def test_the_name_of_the_sender_arrives_whole(name: str) -> None:
    """A name with a comma that loses its quotes is two addresses, and no server takes the message."""
    content = compose(greeting(), Sender(name, "greetings@b.example"), unsubscribe=None).content

    message = message_from_bytes(content, policy=compat32)
    assert mailbox_of(message["From"]) == (name, "greetings@b.example")
    assert (message["Bcc"], message["To"]) == (None, "mary@example.com")
    assert len(message_from_bytes(content, policy=default)["From"].addresses) == 1
    head = content.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78


@pytest.mark.parametrize("name", SENDER_NAMES)
def test_the_sender_of_an_http_format_is_one_mailbox(name: str) -> None:
    """Mailgun, Postmark, Resend and SES take a name and an address as one text, and read it as a header."""
    sender = Sender(name, "greetings@b.example")

    for header in (sender.header, sender.ascii_header):
        assert mailbox_of(header) == (name, "greetings@b.example")
        assert len(message_from_string(f"From: {header}\n\n", policy=default)["From"].addresses) == 1
        assert header.isprintable()
    assert sender.ascii_header.isascii()


def test_a_sender_is_parsed_back_from_its_header() -> None:
    """Quotes and backslashes of the setting are not doubled."""
    for name in SENDER_NAMES:
        if "=?" not in name:
            assert parse_sender(Sender(name, "a@b.example").header).name == name


@pytest.mark.parametrize(
    "email",
    ["a,b@example.com", "a@b,c.example", "Mary(x)@example.com", 'a"b@example.com', "a:b@example.com", "a@b@c.example"],
)
def test_an_address_that_reads_as_more_than_one_is_refused(email: str) -> None:
    """In a header, a comma begins another recipient, and a parenthesis a comment."""
    with pytest.raises(ValueError, match="address"):
        compose(greeting(email=email), Sender("Ä", "a@b.example"), unsubscribe=None)


def test_an_address_longer_than_a_path_is_refused() -> None:
    """RFC 5321, 4.5.3.1.3: 254 octets, so that no header line is longer than 998."""
    long = "a" * 64 + "@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 57 + ".com"
    assert len(long) == 254
    assert compose(greeting(email=long), Sender("", "a@b.example"), unsubscribe=None).recipient == long
    with pytest.raises(ValueError, match="address"):
        compose(greeting(email=f"x{long}"), Sender("", "a@b.example"), unsubscribe=None)


@pytest.mark.parametrize("subject", ["👩\u200d👩\u200d👧", "علی\u200cرضا"])
def test_a_joiner_in_a_subject_is_kept(subject: str) -> None:
    """It is no character of control: without it a family becomes three people."""
    content = compose(greeting(subject=subject), Sender("Ä", "a@b.example"), unsubscribe=None).content

    assert str(message_from_bytes(content, policy=default)["Subject"]) == subject


REPLIES = [
    ("MAIL", "550 5.7.1 sender not allowed a@example.com", Outcome.TRANSIENT_FAILURE, UnavailableReason.REFUSING),
    ("MAIL", "530 5.7.0 Authentication required", Outcome.TRANSIENT_FAILURE, UnavailableReason.NOT_AUTHORISED),
    ("RCPT", "450 4.7.1 Greylisted", Outcome.TRANSIENT_FAILURE, UnavailableReason.REFUSING),
    ("RCPT", "550 5.1.1 <mary@example.com> no such user", Outcome.PERMANENT_FAILURE, None),
    ("RCPT", "554 5.7.1 Relay access denied", Outcome.TRANSIENT_FAILURE, UnavailableReason.NOT_AUTHORISED),
    ("RCPT", "552 5.2.2 Mailbox full", Outcome.PERMANENT_FAILURE, None),
    ("DATA", "452 4.3.1 Insufficient system storage", Outcome.TRANSIENT_FAILURE, UnavailableReason.REFUSING),
    ("DATA", "554 5.6.0 Content rejected", Outcome.PERMANENT_FAILURE, None),
    ("DATA", "554 5.3.4 Message too big for system", Outcome.TRANSIENT_FAILURE, UnavailableReason.REFUSING),
]


@pytest.mark.parametrize(("stage", "reply", "outcome", "reason"), REPLIES)
async def test_a_reply_is_about_the_message_or_about_the_server(
    stage: str, reply: str, outcome: Outcome, reason: UnavailableReason | None
) -> None:
    """The connection takes the next message afterwards."""
    async with mail_server() as server, opened(plain(server)) as service:
        server.faults = [(stage, reply)]
        answer = await service.attempt(greeting())
        after = await service.attempt(greeting(8))

    assert (answer.outcome, answer.status_code) == (outcome, int(reply[:3]))
    assert reason is None or reason_of(answer) is reason
    assert "@" not in str(answer.error)
    assert (after.outcome, server.connections, len(server.accepted)) == (Outcome.ACCEPTED, 1, 1)


@pytest.mark.parametrize(
    ("stage", "code", "text", "verdict"),
    [
        (Stage.CONNECT, 554, "5.7.1 no service", Verdict.UNAVAILABLE),
        (Stage.CONNECT, 421, "4.7.0 too many connections", Verdict.UNAVAILABLE),
        (Stage.LOGIN, 535, "5.7.8 bad credentials", Verdict.NOT_AUTHORISED),
        (Stage.LOGIN, 454, "4.7.0 Temporary authentication failure", Verdict.UNAVAILABLE),
        (Stage.DATA, 454, "Throttling failure: Maximum sending rate exceeded.", Verdict.THROTTLED),
        (Stage.RECIPIENT, 421, "4.7.28 unusual rate of mail", Verdict.THROTTLED),
        (Stage.RECIPIENT, 451, "4.4.5 congestion", Verdict.THROTTLED),
        (Stage.RECIPIENT, 550, "no enhanced code", Verdict.REFUSED),
        (Stage.RECIPIENT, 503, "5.5.1 bad sequence", Verdict.UNAVAILABLE),
        (Stage.RECIPIENT, 556, "5.1.10 domain takes no mail", Verdict.REFUSED),
        (Stage.CONTENT, 250, "Ok", Verdict.ACCEPTED),
        (Stage.DATA, 250, "Ok without a message", Verdict.UNAVAILABLE),
        (Stage.CONTENT, 354, "again", Verdict.UNAVAILABLE),
    ],
)
def test_a_reply_code_has_one_meaning(stage: Stage, code: int, text: str, verdict: Verdict) -> None:
    """The sources are RFC 5321, 3463 and 4954."""
    assert verdict_of(Reply(stage, code, text)) is verdict


async def test_a_lost_reply_after_the_final_dot_is_an_unknown_outcome() -> None:
    """The server may have accepted the message. Here it has."""
    async with mail_server() as server, opened(plain(server)) as service:
        server.faults = [("DATA", "cut")]
        answer = await service.attempt(greeting())

    assert (answer.outcome, answer.status_code, len(server.accepted)) == (Outcome.UNKNOWN, None, 1)


async def test_a_kept_connection_that_the_server_closed_is_replaced() -> None:
    """Nothing was sent over it, so the outcome is known, and no attempt is spent."""
    async with mail_server() as server, opened(plain(server)) as service:
        await service.attempt(greeting(1))
        server.cut()
        second = await service.attempt(greeting(2))
        server.faults = [("MAIL", "421 4.4.2 idle for too long")]
        third = await service.attempt(greeting(3))

    assert (second.outcome, third.outcome, len(server.accepted)) == (Outcome.ACCEPTED, Outcome.ACCEPTED, 3)


StartServer = Callable[[Behaviour], Awaitable[RawServer]]


async def dialogue(connection: Connection, *, until: str) -> None:
    """Speak SMTP up to this command, and do not answer it."""
    await connection.send(b"220 mx.example\r\n")
    while True:
        line = (await connection.line()).decode()
        if line.startswith(until):
            return
        await connection.send(b"354 go\r\n" if line.startswith("DATA") else b"250 Ok\r\n")
        if line.startswith("DATA"):
            while await connection.line() != b".\r\n":
                pass
            if until == "dot":
                return
            await connection.send(b"250 Ok\r\n")


@pytest.mark.parametrize(
    ("until", "outcome"),
    [
        ("EHLO", Outcome.TRANSIENT_FAILURE),
        ("MAIL", Outcome.TRANSIENT_FAILURE),
        ("RCPT", Outcome.TRANSIENT_FAILURE),
        ("DATA", Outcome.TRANSIENT_FAILURE),
        ("dot", Outcome.UNKNOWN),
    ],
)
@pytest.mark.parametrize("end", ["silence", "close", "rubbish"])
async def test_only_after_the_final_dot_the_outcome_is_unknown(
    until: str, outcome: Outcome, end: str, raw_server: StartServer
) -> None:
    """Before the dot the server has accepted nothing, however the connection ends."""

    async def stops(connection: Connection) -> None:
        await dialogue(connection, until=until)
        if end == "rubbish":
            await connection.send(b"hello?\r\n")
        if end != "close":
            await connection.rest()

    server = await raw_server(stops)
    url = f"smtp://127.0.0.1:{server.address[1]}?starttls=off"
    patience = (
        60.0 if end != "silence" else 2.0 if until == "dot" else 0.3
    )  # the dialogue before the dot takes time, too
    async with opened(url, timeout=patience) as service:
        answer = await service.attempt(greeting())

    assert (answer.outcome, answer.status_code) == (outcome, None)
    assert answer.timed_out is (end == "silence")


LAST_WORDS = [
    ("RCPT", "550 5.1.1 no such user", Outcome.PERMANENT_FAILURE, 550, False),
    ("RCPT", "450 4.7.1 rate limit exceeded", Outcome.TRANSIENT_FAILURE, 450, True),
    ("RCPT", "421 4.7.28 unusual rate of mail", Outcome.TRANSIENT_FAILURE, 421, True),
    ("DATA", "554 5.6.0 content rejected", Outcome.PERMANENT_FAILURE, 554, False),
]


@pytest.mark.parametrize(("stage", "reply", "outcome", "code", "throttled"), LAST_WORDS)
@pytest.mark.parametrize("end", ["close", "reset", "silence"])
async def test_a_refusal_counts_although_the_server_hangs_up_after_it(
    stage: str, reply: str, outcome: Outcome, code: int, throttled: bool, end: str, raw_server: StartServer
) -> None:
    """Exim's `drop` refuses and closes. What happens to the connection afterwards says nothing about the message."""

    async def drops(connection: Connection) -> None:
        await dialogue(connection, until=stage)
        await connection.send(f"{reply}\r\n".encode())
        if end == "reset":
            connection.reset()
        if end == "silence":
            await connection.rest()

    server = await raw_server(drops)
    async with opened(f"smtp://127.0.0.1:{server.address[1]}?starttls=off", timeout=30.0) as service:
        answer = await service.attempt(greeting())

    assert (answer.outcome, answer.status_code, answer.throttled) == (outcome, code, throttled)
    assert server.connections == 1


@pytest.mark.parametrize("end", ["close", "silence"])
async def test_a_refusal_on_a_kept_connection_is_not_asked_for_again(end: str, raw_server: StartServer) -> None:
    """A server that counts refusals would count this one twice."""
    recipients = []

    async def drops(connection: Connection) -> None:
        await connection.send(b"220 mx.example\r\n")
        accepted = 0
        while True:
            line = (await connection.line()).decode()
            if line.startswith("RCPT"):
                recipients.append(line)
                if accepted:
                    await connection.send(b"550 5.1.1 no such user\r\n")
                    break
            await connection.send(b"354 go\r\n" if line.startswith("DATA") else b"250 Ok\r\n")
            if line.startswith("DATA"):
                while await connection.line() != b".\r\n":
                    pass
                await connection.send(b"250 Ok\r\n")
                accepted += 1
        if end == "silence":
            await connection.rest()

    server = await raw_server(drops)
    async with opened(f"smtp://127.0.0.1:{server.address[1]}?starttls=off", timeout=30.0) as service:
        first = await service.attempt(greeting(1))
        second = await service.attempt(greeting(2))

    assert (first.outcome, second.outcome, second.status_code) == (Outcome.ACCEPTED, Outcome.PERMANENT_FAILURE, 550)
    assert (len(recipients), server.connections) == (2, 1)


async def test_a_connection_that_does_not_reset_is_replaced(raw_server: StartServer) -> None:
    """After a refusal the next message needs RSET (RFC 5321, 4.1.1.5). It is not lost with the connection."""

    async def refuses(connection: Connection) -> None:
        await connection.send(b"220 mx.example\r\n")
        while True:
            line = (await connection.line()).decode()
            if line.startswith("RCPT") and connection.number == 1:
                await connection.send(b"550 5.1.1 no such user\r\n")
            elif line.startswith("RSET"):
                await connection.send(b"503 5.5.1 not now\r\n")
            elif line.startswith("DATA"):
                await connection.send(b"354 go\r\n")
                while await connection.line() != b".\r\n":
                    pass
                await connection.send(b"250 Ok\r\n")
            else:
                await connection.send(b"250 Ok\r\n")

    server = await raw_server(refuses)
    async with opened(f"smtp://127.0.0.1:{server.address[1]}?starttls=off", timeout=30.0) as service:
        answers = [await service.attempt(greeting(number)) for number in range(2)]

    assert [one.outcome for one in answers] == [Outcome.PERMANENT_FAILURE, Outcome.ACCEPTED]
    assert server.connections == 2


async def test_a_refused_login_counts_although_the_server_hangs_up_after_it(raw_server: StartServer) -> None:
    """The client tries each method of the server. Some servers close after the first wrong password."""

    async def drops(connection: Connection) -> None:
        await connection.send(b"220 mx.example\r\n")
        await connection.line()
        await connection.send(b"250-mx.example\r\n250 AUTH PLAIN LOGIN\r\n")
        await connection.line()
        await connection.send(b"535 5.7.8 wrong\r\n")

    server = await raw_server(drops)
    async with opened(f"smtp://me:wrong@127.0.0.1:{server.address[1]}?starttls=off") as service:
        answer = await service.attempt(greeting())

    assert (answer.outcome, answer.status_code) == (Outcome.TRANSIENT_FAILURE, 535)
    assert reason_of(answer) is UnavailableReason.NOT_AUTHORISED


async def test_no_more_connections_are_open_than_allowed() -> None:
    """Mail servers limit connections. An attempt's time includes its wait for one: the last waits for 82 messages."""
    async with mail_server() as server, opened(plain(server), concurrency=3, timeout=60.0) as service:
        answers = await asyncio.gather(*(service.attempt(greeting(number)) for number in range(250)))

    assert {one.outcome for one in answers} == {Outcome.ACCEPTED}
    assert len({str(one["Message-ID"]) for one in server.accepted}) == 250
    assert 3 <= server.connections <= 6  # each is closed after a hundred messages


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_login_is_made_over_tls(scheme: str, certificate: trustme.LeafCert, authority: str) -> None:
    """A changed password is used by the next attempt."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    access = Access(ca=Secret(authority))
    async with mail_server(tls=context, starttls=scheme == "smtp", login=True) as server:
        url = f"{scheme}://{USER}:wrong@127.0.0.1:{server.port}"
        async with opened(url, access=access) as service:
            wrong = await service.attempt(greeting(1))
            await service.use(f"{scheme}://{USER}:s3cret%3A%20p%40ss@127.0.0.1:{server.port}")
            right = await service.attempt(greeting(2))
        async with opened(url) as untrusting:
            untrusted = await untrusting.attempt(greeting(3))

    assert (wrong.outcome, reason_of(wrong)) == (Outcome.TRANSIENT_FAILURE, UnavailableReason.NOT_AUTHORISED)
    assert (right.outcome, PASSWORD) == (Outcome.ACCEPTED, "s3cret: p@ss")
    assert (untrusted.outcome, untrusted.error) == (Outcome.TRANSIENT_FAILURE, "certificate not valid")


async def test_a_server_without_starttls_gets_nothing() -> None:
    """An attacker in between could remove the STARTTLS offer."""
    async with mail_server() as server, opened(f"smtp://127.0.0.1:{server.port}") as service:
        answer = await service.attempt(greeting())

    assert (answer.outcome, answer.status_code, server.accepted) == (Outcome.TRANSIENT_FAILURE, None, [])
    assert "STARTTLS" in str(answer.error)


async def test_a_server_that_is_not_there_took_nothing() -> None:
    """No byte was written."""
    async with mail_server() as server:
        url = plain(server)
    async with opened(url) as service:
        answer = await service.attempt(greeting())

    assert (answer.outcome, answer.error) == (Outcome.TRANSIENT_FAILURE, "no connection")


def test_the_content_is_seven_bits_and_ends_with_one_dot() -> None:
    """Relays may change eight-bit text or leading dots."""
    for text in (*NAMES, "x" * 5000, "\n\n.\n..\n", ""):
        content = compose(greeting(text=text), Sender("Ä", "a@b.example"), unsubscribe=None).content
        head, _, end = content.rpartition(b"\r\n.\r\n")
        assert content.isascii()
        assert not end
        assert all(len(line) <= 998 and b"\n" not in line and b"\r" not in line for line in head.split(b"\r\n"))
        assert not any(line == b"." for line in head.split(b"\r\n"))


async def test_a_message_that_is_held_after_its_recipient_is_not_sent() -> None:
    """The replies of a slow server may take longer than a hold allows."""
    answers = iter([True, False])
    async with mail_server() as server, opened(plain(server)) as service:
        with pytest.raises(CircuitOpen):
            await service.attempt(replace(greeting(), allowed=lambda: next(answers)))
        after = await service.attempt(greeting(8))

    assert (after.outcome, len(server.accepted)) == (Outcome.ACCEPTED, 1)


async def test_a_connection_in_use_is_not_kept_for_another_server() -> None:
    """A new URL is used from the next message on."""
    async with mail_server() as old, mail_server() as new, opened(plain(old)) as service:
        await service.attempt(greeting(1))
        async with service._connection():
            await service.use(plain(new))
        await service.attempt(greeting(2))

    assert (len(old.accepted), len(new.accepted)) == (1, 1)


PIECES = st.lists(
    st.sampled_from([*WORDS, "=?", "?=", "=?utf-8?q?", "=0A", ":", " ", "\r\n", ",", '"', "\\", "Bcc: x@y.z"])
    | st.text(max_size=20)
    | st.text(alphabet="ab c", min_size=60, max_size=90),
    max_size=6,
).map("".join)
"""Texts that contain encoded words, line breaks, and what has a meaning in a header."""


@given(
    text=st.text(),
    subject=PIECES,
    email=st.one_of(st.text(), st.builds("{}@{}".format, PIECES, st.text(min_size=1) | st.just("example.com"))),
    name=PIECES,
)
def test_every_composed_message_has_one_recipient_and_no_further_header(
    text: str, subject: str, email: str, name: str
) -> None:
    """An address is refused or accepted as a whole. The reader sees subject and sender as they were written."""
    given_one = replace(greeting(text=text, subject=subject), email=email)
    name = " ".join("".join(one for one in name if one.isprintable()).split())
    try:
        envelope = compose(given_one, Sender(name, "a@b.example"), unsubscribe=None)
    except ValueError:
        return
    head = envelope.content.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0].decode() for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert sorted(names) == sorted(
        [
            *("Message-ID", "From", "To", "Subject", "Date", "Auto-Submitted"),
            *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
        ]
    )
    assert not re.search(r"[\s<>\x00-\x1f]", envelope.recipient)
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert f"\r\nTo: {envelope.recipient}\r\n".encode() in head
    fields = BytesParser(policy=compat32).parsebytes(head)
    printable = "".join(" " if unicodedata.category(one) in UNPRINTABLE else one for one in subject)
    assert str(make_header(decode_header(fields["Subject"]))).split() == printable.split()
    assert mailbox_of(fields["From"]) == (name, "a@b.example")
