"""Every HTTP format keeps the same promises, with any API of a provider."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.email import HttpEmailService
from service.adapters.email.access import Access
from service.adapters.email.formats import FORMATS
from service.adapters.email.provider import ProviderEmailService
from service.domain.email_formats import KEYS_LAST, EmailFormat
from service.domain.messages import Answer, Outcome, UnavailableReason
from service.domain.service_health import reason_of
from service.environment import Secret
from service.ports import Greeting
from tests.fakes.email_providers import DIALECTS, SENDER, TOKEN, FakeProvider

CASES = [(name, mistake) for name, dialect in DIALECTS.items() for mistake in dialect.mistakes]

SCRIPTS = ["Ann O'Hara", "José Nuñez", "Đặng Thị", "Ольга", "王小明", "محمد", "नीता", "🎂 Zoë"]
NAMES = [*SCRIPTS, "a\r\nBcc: x@y.z", '"<q>" & %26=+']

WAVE = 300
"""Messages of a wave."""


def greeting(number: int = 7, name: str = "Mary") -> Greeting:
    """A greeting whose address must not turn up in errors."""
    text = f"Hey, {name} it's your birthday"
    return Greeting(
        UUID(int=number), f"a{number}@example.com", text, None, (f"a{number}@example.com",), "Happy birthday"
    )


@asynccontextmanager
async def way_out(name: EmailFormat, url: str, token: str = TOKEN) -> AsyncIterator[HttpEmailService]:
    """The client of a format, opened."""
    access, timeout = Access(token=Secret(token)), timedelta(seconds=5)
    if name is EmailFormat.SES:
        url += "?region=eu-west-1"
    client: HttpEmailService
    if name is EmailFormat.DEFAULT:
        client = HttpEmailService(url, timeout=timeout, concurrency=20, access=access)
    else:
        client = ProviderEmailService(url, FORMATS[name], sender=SENDER, timeout=timeout, concurrency=20, access=access)
    await client.open()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def provider(name: EmailFormat) -> AsyncIterator[tuple[FakeProvider, HttpEmailService]]:
    """A fake of a provider, and its client."""
    fake = FakeProvider(DIALECTS[name])
    await fake.listen()
    try:
        async with way_out(name, fake.url) as client:
            yield fake, client
    finally:
        await fake.close()


def test_every_format_has_a_fake_and_every_fake_a_format() -> None:
    """A format without a fake is not tested."""
    assert set(DIALECTS) == set(EmailFormat) == {EmailFormat.DEFAULT, *FORMATS}
    assert {name for name, dialect in DIALECTS.items() if dialect.remembers} == set(KEYS_LAST)
    assert all(one.page.startswith("https://") for one in FORMATS.values())


@pytest.mark.parametrize("name", EmailFormat)
async def test_an_accepted_message_arrives_as_it_was_written(name: EmailFormat) -> None:
    """Names in every script arrive unchanged, without a further header or recipient. The provider's id is kept."""
    async with provider(name) as (fake, client):
        answers = [await client.attempt(greeting(number, text)) for number, text in enumerate(NAMES)]

    assert [(one.outcome, one.provider_id) for one in answers] == [
        (Outcome.ACCEPTED, f"id-{number}") for number in range(1, len(NAMES) + 1)
    ]
    assert [one.text for one in fake.books] == [f"Hey, {text} it's your birthday" for text in NAMES]
    assert [one.to for one in fake.books] == [f"a{number}@example.com" for number in range(len(NAMES))]
    if fake.dialect.has_sender:
        assert {(one.sender, one.subject) for one in fake.books} == {
            (("Grüße", "greetings@example.com"), "Happy birthday")
        }


@pytest.mark.parametrize(("name", "mistake"), CASES, ids=lambda part: str(part).replace(" ", "-"))
async def test_a_documented_error_is_about_the_message_or_about_the_service(name: EmailFormat, mistake: str) -> None:
    """Only an error about the message itself may end it."""
    expected = DIALECTS[name].mistakes[mistake]
    async with provider(name) as (fake, client):
        fake.faults = [mistake]
        answer = await client.attempt(greeting())

    assert (answer.outcome, answer.status_code, answer.throttled) == (
        expected.outcome,
        expected.status,
        expected.throttled,
    )
    if expected.reason is not None:
        assert reason_of(answer) is expected.reason
    assert "@" not in str(answer.error)
    assert fake.books == []


@pytest.mark.parametrize("name", EmailFormat)
async def test_a_wrong_key_is_no_fault_of_the_message(name: EmailFormat) -> None:
    """The circuit then shows `not authorised`."""
    async with provider(name) as (fake, _), way_out(name, fake.url, "OTHER:key") as client:
        answer = await client.attempt(greeting())

    assert (answer.outcome, reason_of(answer)) == (Outcome.TRANSIENT_FAILURE, UnavailableReason.NOT_AUTHORISED)


@pytest.mark.parametrize("name", EmailFormat)
async def test_a_lost_answer_is_an_unknown_outcome_and_a_key_is_taken_once(name: EmailFormat) -> None:
    """A provider without idempotency keys delivers again, so HEYDAY_UNKNOWN_OUTCOME is `hold` by default there."""
    async with provider(name) as (fake, client):
        fake.faults = ["cut"]
        first = await client.attempt(greeting())
        second = await client.attempt(greeting())

    assert (first.outcome, first.status_code, second.outcome) == (Outcome.UNKNOWN, None, Outcome.ACCEPTED)
    assert len(fake.books) == (1 if name in KEYS_LAST else 2)


@pytest.mark.parametrize("name", EmailFormat)
async def test_a_service_that_is_not_there_took_nothing(name: EmailFormat) -> None:
    """No byte was written."""
    async with provider(name) as (fake, client):
        await fake.close()
        answer = await client.attempt(greeting())

    assert (answer.outcome, answer.status_code, fake.requests) == (Outcome.TRANSIENT_FAILURE, None, 0)


@pytest.mark.parametrize("name", EmailFormat)
async def test_a_wave_with_errors_arrives_once_each(name: EmailFormat) -> None:
    """One request in ten meets an error that is not about the message."""
    chance = random.Random(1)
    again = [key for key, one in DIALECTS[name].mistakes.items() if one.outcome is Outcome.TRANSIENT_FAILURE]
    again += ["cut"] if name in KEYS_LAST else []
    async with provider(name) as (fake, client):
        fake.faults = [chance.choice(again) if chance.random() < 0.1 else None for _ in range(2 * WAVE)]

        calls = asyncio.Semaphore(20)  # as a node has: nobody waits for a connection

        async def deliver(number: int) -> Answer:
            async with calls:
                while (answer := await client.attempt(greeting(number))).outcome is not Outcome.ACCEPTED:
                    assert answer.outcome is not Outcome.PERMANENT_FAILURE
            return answer

        answers = await asyncio.gather(*(deliver(number) for number in range(WAVE)))

    assert len(answers) == WAVE
    assert Counter(one.key.int for one in fake.books) == Counter(range(WAVE))


@pytest.mark.parametrize("name", EmailFormat)
async def test_a_probe_tells_a_right_key_from_a_wrong_one_without_a_message(name: EmailFormat) -> None:
    """This holds for providers with a request that every key may make."""
    async with provider(name) as (fake, client), way_out(name, fake.url, "OTHER:key") as wrong:
        found = await client.probe(), await wrong.probe()

    has_none = name in {EmailFormat.MAILGUN, EmailFormat.RESEND}
    assert found == ((None, None) if has_none else (200, 401))
    assert (fake.requests, fake.books) == (0, [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "code", "message", "errors", "ErrorCode", "Message", "field", "__type"]), inner
        )
    ),
    max_leaves=8,
)


@given(name=st.sampled_from(list(FORMATS)), status=st.integers(300, 599), body=JSON)
def test_no_body_of_an_error_breaks_a_format(name: EmailFormat, status: int, body: object) -> None:
    """A gateway in between answers in its own format."""
    FORMATS[name].verdict(status, {}, body)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("status", [400, 401, 422])
@pytest.mark.parametrize("field", ["message", "Message", "name", "code", "__type", "errors"])
def test_no_deeply_nested_error_breaks_a_format(name: EmailFormat, status: int, field: str) -> None:
    """The parser takes 1,024 levels. Python's own functions, such as str(), take fewer."""
    for depth in range(980, 1023):
        nested: Any = orjson.loads(b"[" * depth + b"]" * depth)
        body = {"ErrorCode": 300, field: [{"message": nested, "field": nested}] if field == "errors" else nested}
        FORMATS[name].verdict(status, {}, body)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "email", ["a,b@example.com", "a@example.com,b@example.com", "Mary <a@example.com>", "a@b\r\n.c"]
)
async def test_an_address_that_reads_as_more_than_one_is_not_handed_over(name: EmailFormat, email: str) -> None:
    """Mailgun, Postmark and Resend read the recipient as a list of addresses. The API takes no such address."""
    async with provider(name) as (fake, client):
        answer = await client.attempt(replace(greeting(), email=email))

    assert (answer.outcome, answer.called, fake.requests) == (Outcome.PERMANENT_FAILURE, False, 0)


@pytest.mark.parametrize("name", FORMATS)
async def test_a_subject_has_one_line(name: EmailFormat) -> None:
    """Providers write it into a header. The name in it is text from a user."""
    async with provider(name) as (fake, client):
        await client.attempt(replace(greeting(), subject="Happy birthday,\r\nBcc: x@y.z\u2028x"))

    assert [one.subject for one in fake.books] == ["Happy birthday, Bcc: x@y.z x"]
