"""Tests the pages about email formats: the worked example works, and the tables are complete."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from aiohttp import web

from service.adapters.email.access import Access
from service.adapters.email.provider import ProviderEmailService
from service.domain.email_formats import KEYS_LAST, EmailFormat
from service.domain.messages import Outcome, UnavailableReason
from service.domain.service_health import reason_of
from service.environment import Secret
from service.ports import Greeting
from tests.fakes.email_providers import SENDER, Delivered, Dialect, FakeProvider, Mistake

PAGES = Path(__file__).parents[2] / "docs/how-to"


def _read(request: web.Request, body: bytes) -> Delivered:
    fields = orjson.loads(body)
    assert request.headers["X-Letterbox-Once"] == fields["ref"]
    return Delivered(UUID(fields["ref"]), fields["to"], ("", ""), fields["title"], fields["plain"])


LETTERBOX = Dialect(
    path="/letters",
    opens=lambda request: request.headers.get("X-Letterbox-Key") == "key",
    read=_read,
    answer=lambda found: (200, {}, {"id": found}),
    mistakes={
        "person": Mistake(400, {"problem": "no_such_house"}, Outcome.PERMANENT_FAILURE),
        "account": Mistake(400, {"problem": "account_closed"}, Outcome.TRANSIENT_FAILURE),
    },
)


async def test_the_example_of_a_new_format_works() -> None:
    """A developer copies it, and then changes it for a real provider."""
    page = (PAGES / "add_an_email_format.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "add_an_email_format.md", "exec"), names)  # noqa: S102
    fake = FakeProvider(LETTERBOX)
    await fake.listen()
    client = ProviderEmailService(
        fake.url,
        names["LETTERBOX"],
        sender=SENDER,
        timeout=timedelta(seconds=5),
        concurrency=1,
        access=Access(token=Secret("key")),
    )
    await client.open()
    greeting = Greeting(UUID(int=7), "a@bücher.example", "Hey, Zoë", subject="Happy birthday")
    try:
        fake.faults = [None, "person", "account"]
        taken, refused, closed = [await client.attempt(greeting) for _ in range(3)]
    finally:
        await client.close()
        await fake.close()

    assert (taken.outcome, taken.provider_id) == (Outcome.ACCEPTED, "id-1")
    assert (fake.books[0].to, fake.books[0].text) == ("a@xn--bcher-kva.example", "Hey, Zoë")
    assert refused.outcome is Outcome.PERMANENT_FAILURE
    assert (closed.outcome, reason_of(closed)) == (Outcome.TRANSIENT_FAILURE, UnavailableReason.NOT_AUTHORISED)


def test_the_page_has_each_format_in_both_tables() -> None:
    """The page and the code agree on how long a provider remembers a key."""
    page = (PAGES / "connect_your_email_service.md").read_text(encoding="utf-8")
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in page.splitlines() if line.startswith("| ")]
    ways = {row[1].strip("`") for row in rows if len(row) == 4}
    promises = {row[0].strip("`"): row[2] for row in rows if len(row) == 5}

    assert set(EmailFormat) <= ways
    assert set(EmailFormat) <= promises.keys()
    assert promises["resend"] == f"{KEYS_LAST[EmailFormat.RESEND] // timedelta(hours=1)} hours"
    assert promises["brevo"] == f"{KEYS_LAST[EmailFormat.BREVO] // timedelta(minutes=1)} minutes"
    assert all(not promises[name] for name in set(EmailFormat) - KEYS_LAST.keys())
