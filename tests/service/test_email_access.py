"""Tests the settings for access to the email service, and that errors do not show their values."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trustme

from service.domain.email_formats import EmailFormat
from service.email_access import (
    SmtpServer,
    authorities,
    client_certificate,
    headers_of,
    proxy,
    sender,
    smtp_server,
    token,
    unsubscribe,
)
from service.settings import Rate, UnknownOutcome, read
from tests.service.test_settings import REQUIRED, mistakes

PROVIDER = {"HEYDAY_EMAIL_FROM": "Heyday <greetings@example.com>", "HEYDAY_EMAIL_TOKEN": "key:secret"}
SES = {"URL": "https://email.eu-west-1.amazonaws.com", "FORMAT": "ses", "TOKEN": "key:secret", "FROM": "a@b.example"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("X-Api-Key: abc", {"X-Api-Key": "abc"}),
        (" X-A:1 \r\n\r\nX-B:\t2 3: 4\n", {"X-A": "1", "X-B": "2 3: 4"}),
        ("Authorization: Key abc", {"Authorization": "Key abc"}),
    ],
)
def test_headers_are_one_on_each_line(text: str, found: dict[str, str]) -> None:
    """Operators copy them from the page of a gateway."""
    assert headers_of(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "no colon",
        ": value",
        "X-A:",
        "X A: 1",
        "X-A: 1\nx-a: 2",
        "Host: evil.example",
        "content-length: 0",
        "Transfer-Encoding: chunked",
        "IDEMPOTENCY-KEY: same",
        "Content-Type: text/plain",
        "X-A: caf\u00e9",
        "X-A: 1\rHost: evil.example",
        "X-A: 1\x0bHost: evil.example",
        "X-A: 1\u2028Host: evil.example",
        "X-A\u00a0: 1",
        "X-A: \x00",
    ],
)
def test_a_header_that_harms_the_request_is_refused(text: str) -> None:
    """It could add a second request, or another key."""
    with pytest.raises(ValueError, match="lines such as"):
        headers_of(text)


@pytest.mark.parametrize("text", ["", "a\nb", "a\r\nHost: x", "tok\u00e9n", "\x7f"])
def test_a_token_is_one_line_of_ascii(text: str) -> None:
    """It becomes part of a header."""
    with pytest.raises(ValueError, match="a token"):
        token(text)


@pytest.mark.parametrize(
    "text", ["", "proxy:3128", "socks5://proxy:1080", "http://", "http://proxy:port", "http://p/a"]
)
def test_only_an_http_proxy_is_taken(text: str) -> None:
    """Other kinds would be ignored, and greetings would bypass the proxy."""
    with pytest.raises(ValueError, match="a URL such as"):
        proxy(text)
    assert proxy("http://user:p%40ss@proxy:3128") == "http://user:p%40ss@proxy:3128"


def test_a_certificate_is_read_when_it_is_given(authority: str, client_pem: str) -> None:
    """An error is found at the start, or when the file changes, and not at 09:00."""
    other = trustme.CA().issue_cert("other.example")
    key, chain = other.private_key_pem.bytes().decode(), other.cert_chain_pems[0].bytes().decode()

    assert (authorities(authority), client_certificate(client_pem)) == (authority, client_pem)
    assert client_certificate(key + chain)
    for wrong in ("", "rubbish", client_pem[:200]):
        with pytest.raises(ValueError, match="in PEM"):
            authorities(wrong)
    for wrong in ("", "rubbish", authority, key, chain, authority + key):
        with pytest.raises(ValueError, match="in PEM"):
            client_certificate(wrong)


def test_two_credentials_contradict_each_other() -> None:
    """heyday cannot guess which one is meant."""
    both = {"EMAIL_TOKEN": "sesame", "EMAIL_HEADERS": "authorization: Key sesame"}
    url = "https://user:sesame@mail.example.com"

    [error] = mistakes(**both)
    [three] = mistakes(EMAIL_URL=url, **both)

    assert error == (
        "HEYDAY_EMAIL_TOKEN and the Authorization in HEYDAY_EMAIL_HEADERS are all credentials of the email service: "
        "expected one of them"
    )
    assert three.startswith("the name and password in HEYDAY_EMAIL_URL and HEYDAY_EMAIL_TOKEN and ")
    assert "sesame" not in error + three


@pytest.mark.parametrize(
    "variable", ["EMAIL_TOKEN", "EMAIL_HEADERS", "EMAIL_PROXY", "EMAIL_CA", "EMAIL_CLIENT_CERTIFICATE"]
)
def test_a_mistake_does_not_show_the_secret(variable: str) -> None:
    """The message is logged."""
    [error] = mistakes(**{variable: "s\u00e9same"})

    assert error.startswith(f"HEYDAY_{variable}='***': expected ")
    assert "same" not in error


@pytest.mark.parametrize("text", ["a@example.com", "Grüße <a@bücher.example>", '"Heyday, Inc." <a+b@example.com>'])
def test_a_sender_is_an_address_with_or_without_a_name(text: str) -> None:
    """The form is that of mail clients."""
    assert sender(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Heyday",
        "@example.com",
        "a@",
        "a@b c",
        "a@b.example\nBcc: x@y.z",
        "A <é@example.com>",
        "a@-.-",
        f"{'a' * 255}@example.com",
    ],
)
def test_a_sender_that_no_server_takes_is_refused(text: str) -> None:
    """Otherwise every greeting is refused."""
    with pytest.raises(ValueError, match="an address such as"):
        sender(text)


def test_a_format_needs_a_sender_and_a_token() -> None:
    """Both errors are reported at the start."""
    first, second = mistakes(EMAIL_FORMAT="postmark")

    assert first.startswith("HEYDAY_EMAIL_TOKEN is not set: expected the key of the provider")
    assert second.startswith("HEYDAY_EMAIL_FROM is not set: expected the sender of every greeting")


@pytest.mark.parametrize("service", ["EMAIL", "EMAIL_FALLBACK"])
def test_what_ses_cannot_sign_with_is_reported_with_all_other_errors(service: str) -> None:
    """Otherwise it is found one start later, and the error names the format, which is right."""
    wrong = SES | {"TOKEN": "sesame", "URL": "https://mail.example.com"}
    send_at, token, url = mistakes(SEND_AT="25:00", **{f"{service}_{name}": value for name, value in wrong.items()})[:3]

    assert send_at.startswith("HEYDAY_SEND_AT='25:00'")
    assert token.startswith(f"HEYDAY_{service}_TOKEN='***': expected an access key such as")
    assert url.startswith(f"HEYDAY_{service}_URL='***': expected an endpoint such as")
    assert token.endswith(f"because of HEYDAY_{service}_FORMAT=ses")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https:///path", ""),
        ("http://?x=1", ""),
        ("http://a\\b", ""),
        ("http://\u200b.example", ", without tabs, line breaks and invisible characters"),
        ("https://a.example/\u200b", ", without tabs, line breaks and invisible characters"),
    ],
)
def test_a_url_that_no_client_can_call_is_refused_without_its_value(text: str, hint: str) -> None:
    """The client of the email service would end the node by a traceback."""
    assert mistakes(EMAIL_URL=text) == [f"HEYDAY_EMAIL_URL='***': expected a URL such as http://host:port/…{hint}"]


@pytest.mark.parametrize("name", EmailFormat)
def test_an_unknown_outcome_is_sent_again_only_where_a_key_is_remembered(name: EmailFormat) -> None:
    """Elsewhere the recipient would get it twice. An operator may decide otherwise."""
    url = {"HEYDAY_EMAIL_URL": SES["URL"]} if name is EmailFormat.SES else {}
    given = REQUIRED | PROVIDER | url | {"HEYDAY_EMAIL_FORMAT": name}
    settings = read(given)
    told = read(given | {"HEYDAY_UNKNOWN_OUTCOME": "resend"})

    remembers = name in {EmailFormat.DEFAULT, EmailFormat.RESEND, EmailFormat.BREVO}
    assert settings.unknown_outcome is (UnknownOutcome.RESEND if remembers else UnknownOutcome.HOLD)
    assert told.unknown_outcome is UnknownOutcome.RESEND


def test_a_fallback_has_its_own_options_and_the_sender_of_the_first() -> None:
    """One of the two may be a mail server: then each has the policy that its keys allow."""
    settings = read(
        REQUIRED
        | {
            "HEYDAY_EMAIL_FROM": "Heyday <greetings@example.com>",
            "HEYDAY_EMAIL_FALLBACK_URL": "smtps://mail.example.com",
            "HEYDAY_EMAIL_FALLBACK_RATE": "5/s",
        }
    )

    fallback = settings.email_fallback
    assert fallback is not None
    assert (fallback.url, fallback.sender) == ("smtps://mail.example.com", "Heyday <greetings@example.com>")
    assert (fallback.concurrency, fallback.rate) == (20, Rate(5.0))
    outcomes = [one.unknown_outcome for one in settings.email_services]
    assert outcomes == [UnknownOutcome.RESEND, UnknownOutcome.HOLD]


def test_a_fallback_forgets_a_key_when_its_provider_does() -> None:
    """HEYDAY_IDEMPOTENCY_LASTS is what the first service was said to do."""
    brevo = {"URL": "https://api.brevo.com", "FORMAT": "brevo", "TOKEN": "t", "FROM": "a@b.example"}
    given = {f"HEYDAY_EMAIL_FALLBACK_{name}": value for name, value in brevo.items()}
    settings = read(REQUIRED | given | {"HEYDAY_IDEMPOTENCY_LASTS": "72h"})

    lasts = [one.idempotency_lasts for one in settings.email_services]
    assert lasts == [timedelta(hours=72), timedelta(minutes=15)]


def test_mistakes_in_the_options_of_a_fallback_name_its_variables() -> None:
    """And an option without a service would be a second service that is not there when it is needed."""
    assert mistakes(EMAIL_FALLBACK_TOKEN="t") == [
        "HEYDAY_EMAIL_FALLBACK_TOKEN has no effect: expected HEYDAY_EMAIL_FALLBACK_URL with it"
    ]
    found = mistakes(EMAIL_FALLBACK_URL=SES["URL"], EMAIL_FALLBACK_FORMAT="ses")
    assert ["EMAIL_FALLBACK_TOKEN" in one or "EMAIL_FALLBACK_FROM" in one for one in found] == [True, True]
    assert all("because of HEYDAY_EMAIL_FALLBACK_FORMAT=ses" in one for one in found)


@pytest.mark.parametrize(
    ("name", "value"), [("HTML", "<p>{text}</p>"), ("UNSUBSCRIBE", "https://example.com/unsubscribe?m={message_id}")]
)
def test_an_option_of_mail_servers_needs_one(name: str, value: str) -> None:
    """An HTTP service gets the text alone: the document, or the way to opt out, would be missing in every greeting."""
    given = {f"EMAIL_{name}": value}

    assert mistakes(**given) == [f"HEYDAY_EMAIL_{name} has no effect: expected a mail server (smtp://) with it"]

    mail = {"HEYDAY_EMAIL_FALLBACK_URL": "smtp://h", "HEYDAY_EMAIL_FALLBACK_FROM": "a@b.example"}
    assert read(REQUIRED | mail | {f"HEYDAY_EMAIL_{name}": value}).email_fallback is not None


def test_a_key_is_not_relied_on_longer_than_the_provider_remembers_it() -> None:
    """After that, a repeated message is delivered again."""
    brevo = {"EMAIL_FORMAT": "brevo", "EMAIL_FROM": "a@example.com", "EMAIL_TOKEN": "token"}
    [error] = mistakes(IDEMPOTENCY_LASTS="1h", **brevo)

    assert error.startswith("HEYDAY_IDEMPOTENCY_LASTS=3600s: expected at most 900s, because HEYDAY_EMAIL_FORMAT=brevo")
    assert read(REQUIRED | {f"HEYDAY_{k}": v for k, v in brevo.items()}).idempotency_lasts == timedelta(minutes=15)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("smtp://h", SmtpServer("h", 587, False, True, None, None)),
        ("smtp://h?starttls=required", SmtpServer("h", 587, False, True, None, None)),
        ("smtp://h?starttls=off", SmtpServer("h", 25, False, False, None, None)),
        ("smtps://me%40x:p%3A%40@h:2465", SmtpServer("h", 2465, True, False, "me@x", "p:@")),
        ("SMTP://[::1]:25/", SmtpServer("::1", 25, False, True, None, None)),
    ],
)
def test_the_url_of_a_mail_server_is_read(text: str, server: SmtpServer) -> None:
    """Encryption is required unless the URL says otherwise."""
    assert smtp_server(text) == server
    assert read(REQUIRED | {"HEYDAY_EMAIL_URL": text, "HEYDAY_EMAIL_FROM": "a@example.com"}).email_concurrency == 20


@pytest.mark.parametrize(
    "text", ["smtp://", "smtp://h:port", "smtp://h?starttls=maybe", "smtp://h?tls=off", "smtps://h/x", "smtp://:p@h"]
)
def test_a_wrong_url_of_a_mail_server_is_refused_without_its_value(text: str) -> None:
    """It contains a password."""
    [error] = mistakes(EMAIL_URL=text, EMAIL_FROM="a@example.com")

    assert error.startswith("HEYDAY_EMAIL_URL='***': expected a URL such as smtp://user:password@host:587")


def test_a_mail_server_needs_a_sender_and_takes_no_token() -> None:
    """SMTP has no idempotency key, so an unknown outcome waits for an operator."""
    errors = mistakes(EMAIL_URL="smtp://h", EMAIL_TOKEN="t", EMAIL_FORMAT="postmark", EMAIL_PROXY="http://p:1")

    assert [one.split()[0] for one in errors] == [
        "HEYDAY_EMAIL_FROM",
        "HEYDAY_EMAIL_TOKEN",
        "HEYDAY_EMAIL_PROXY",
        "HEYDAY_EMAIL_FORMAT",
    ]
    settings = read(REQUIRED | {"HEYDAY_EMAIL_URL": "smtp://h", "HEYDAY_EMAIL_FROM": "a@example.com"})
    assert settings.unknown_outcome is UnknownOutcome.HOLD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://h/x",
        "https://",
        "https://[",
        "https://h:99999",
        "https://h\u2100",
        "mailto://[",
        "mailto:a@b>, <http://x",
        "https://h/ x",
        "https://h/é",
        f"https://h/{'x' * 900}",
        f"https://h/{'{message_id}' * 30}",
    ],
)
def test_a_way_to_opt_out_is_a_url(text: str) -> None:
    """It becomes a header."""
    with pytest.raises(ValueError, match="a URL such as"):
        unsubscribe(text)
    assert unsubscribe("mailto:stop@example.com?subject=stop") == "mailto:stop@example.com?subject=stop"
