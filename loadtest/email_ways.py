"""Sends greetings through a real Postfix, or through the fake of each provider, with errors on the way.

    python -m loadtest.email_ways smtp --greetings 5000
    python -m loadtest.email_ways postmark sendgrid mailgun resend brevo ses --greetings 5000 --errors 0.1

A node with its own servers sends a wave. Postfix defers every tenth recipient once, refuses every hundredth, and is
stopped for some seconds in the middle of the wave: only the calls under way may end as unknown. A provider answers a
share of the requests with its documented errors, except those that end a message; one that remembers keys also loses
answers. The exit code is 1 if a greeting was lost or sent twice, or arrived with another text or other headers.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import parseaddr

import asyncpg
import uvloop

from loadtest import crowd, servers
from loadtest.postfix import postfix
from loadtest.programs import node
from service.domain.email_formats import EmailFormat, keys_last
from service.domain.messages import Outcome
from service.settings import Settings
from tests.fakes.email_providers import DIALECTS, SENDER, TOKEN, FakeProvider

SMTP = "smtp"

NAMES = (
    ("Ada", "Lovelace"),
    ("Zoë", "Ærøskøbing-Łukasiewicz"),
    ("Αλίκη", "Παπαδοπούλου"),
    ("Ольга", "Щербакова"),
    ("דוד", "בן־גוריון"),
    ("محمد", "الفارسي"),
    ("अनुष्का", "शर्मा"),
    ("สมชาย", "ใจดี"),
    ("小明", "王"),
    ("さくら", "東海林"),
    ("민준", "김"),
    ("Nguyễn", "Thị Ánh"),
    ("A\u0301da", '👩\u200d👧 O’Neil; "x" <y>, ..'),
)
"""First and last names in many scripts, with combining and joining characters, and with characters of headers."""

_NAME = """
    update users set
        first_name = ($1::text[])[1 + n % $3], last_name = ($2::text[])[1 + n % $3],
        email = case when n % 100 = 7 and $4 then 'refused.' else '' end || email,
        email_key = case when n % 100 = 7 and $4 then 'refused.' else '' end || email_key
    from (select id, split_part(email_key, '@', 1)::integer as n from users) numbered
    where numbered.id = users.id
"""

UNKNOWN_LIMIT = Settings.email_concurrency
"""Messages that may be unknown: the calls that were under way when Postfix was stopped."""

STOPPED_FOR = 4.0
"""Seconds for which Postfix is stopped in the middle of the wave."""

READY_IN = 4.0
"""Seconds until the messages are due."""

UNSUBSCRIBE = "https://example.com/unsubscribe?m={message_id}"

_DUE = """
    insert into messages (user_id, occasion, local_year, timezone, send_at, due_at, tzdata)
    select id, 'birthday', extract(year from $1::timestamptz), timezone, $1, $1, 'none' from users
"""
_ROWS = """
    select m.id::text as id, m.status, u.email,
        'Hey, ' || u.first_name || ' ' || u.last_name || ' it''s your birthday' as text
    from messages m join users u on u.id = m.user_id
"""


class RandomFaults(list[str | None]):
    """The faults of a fake: one of `names` for a share of the requests."""

    def __init__(self, names: list[str], share: float) -> None:
        super().__init__()
        self._names, self._share = names, share
        self._random = random.Random(1)
        self.drawn: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return True

    def pop(self, _index: object = -1) -> str | None:
        """Draw the fault of the next request."""
        if self._random.random() >= self._share:
            return None
        name = self._random.choice(self._names)
        self.drawn[name] += 1
        return name


@dataclass(frozen=True)
class Ended:
    """The rows after a wave: status, address and text of each message. `seconds` from the due instant to the end."""

    rows: list[asyncpg.Record]
    seconds: float

    def of(self, status: str) -> dict[str, asyncpg.Record]:
        """The messages in that state, by their ids."""
        return {row["id"]: row for row in self.rows if row["status"] == status}


async def wave(
    running: servers.Servers,
    greetings: int,
    settings: Mapping[str, str],
    *,
    refuses: bool = False,
    meanwhile: Callable[[asyncpg.Connection[asyncpg.Record]], Awaitable[None]] | None = None,
) -> Ended:
    """Let a node send a wave to its end, with `meanwhile` beside it."""
    dsn = await running.database()
    connection = await asyncpg.connect(dsn)
    await crowd.users(connection, greetings)
    await connection.execute(_NAME, [one for one, _ in NAMES], [one for _, one in NAMES], len(NAMES), refuses)
    given = {
        **settings,
        "BIND": "127.0.0.1:0",
        "EMAIL_FROM": SENDER,
        "EMAIL_BACKOFF": "100ms",
        "EMAIL_BACKOFF_LIMIT": "1s",
        "CIRCUIT_RESET": "1s",
    }
    async with node(running, dsn, given, rabbitmq=False, log=running.place / "node.log"):
        while not await connection.fetchval("select exists (select from nodes where ended_at is null)"):
            await asyncio.sleep(0.05)
        instant = datetime.now(UTC) + timedelta(seconds=READY_IN)
        await connection.execute(_DUE, instant)
        if meanwhile is not None:
            await meanwhile(connection)
        while await connection.fetchval("select exists (select from messages where ended_at is null)"):
            await asyncio.sleep(0.1)
    rows = await connection.fetch(_ROWS)
    last = await connection.fetchval("select max(ended_at) from messages")
    await connection.close()
    return Ended(rows, (last - instant).total_seconds())


async def by_smtp(running: servers.Servers, greetings: int) -> list[str]:
    """Send through Postfix, and return what is wrong as sentences."""
    place = running.place / "postfix"
    place.mkdir()
    async with postfix(place) as server:

        async def stopped(connection: asyncpg.Connection[asyncpg.Record]) -> None:
            while await connection.fetchval("select count(*) from messages where status = 'sent'") < greetings / 3:
                await asyncio.sleep(0.02)
            await server.stop()
            await asyncio.sleep(STOPPED_FOR)
            await server.start()

        url = f"smtp://127.0.0.1:{server.port}?starttls=off"
        settings = {"EMAIL_URL": url, "EMAIL_UNSUBSCRIBE": UNSUBSCRIBE}
        ended = await wave(running, greetings, settings, refuses=True, meanwhile=stopped)
        mails = await server.delivered()
        greylisted = len(server.greylisted)
    sent, unknown, failed = ended.of("sent"), ended.of("unknown"), ended.of("failed")
    _say(
        f"smtp: {len(sent)} sent, {len(failed)} refused, {len(unknown)} unknown, {greylisted} greylisted, "
        f"{len(mails)} mails in the maildir, {ended.seconds:.1f} s with a stop of {STOPPED_FOR:g} s"
    )
    return judge_smtp(ended, mails)


def judge_smtp(ended: Ended, mails: Sequence[EmailMessage]) -> list[str]:
    """Return what is wrong with the rows and the mails in the maildir as sentences."""
    sent, unknown, failed = ended.of("sent"), ended.of("unknown"), ended.of("failed")
    found = Counter(str(mail["Message-ID"]).strip("<>").partition("@")[0] for mail in mails)
    wrong = [] if len(unknown) <= UNKNOWN_LIMIT else [f"{len(unknown)} are unknown, more than {UNKNOWN_LIMIT}"]
    wrong += [] if sent else ["nothing is sent"]
    wrong += [f"{key} has {count} mails" for key, count in found.items() if count > 1]
    wrong += [f"{key} is sent and has no mail" for key in sent.keys() - found.keys()]
    wrong += [
        f"{key} is neither sent nor unknown and has a mail" for key in found.keys() - sent.keys() - unknown.keys()
    ]
    wrong += [f"{row['email']} is failed" for row in failed.values() if not row["email"].startswith("refused.")]
    rest = len(ended.rows) - len(sent) - len(unknown) - len(failed)
    wrong += [f"{rest} messages are in another state"] if rest else []
    rows = {row["id"]: row for row in ended.rows}
    return wrong + [what for mail in mails for what in _harmed(mail, rows)]


def _harmed(mail: EmailMessage, rows: Mapping[str, asyncpg.Record]) -> list[str]:
    """Return the sentences about headers and text that are not as they should be."""
    key = str(mail["Message-ID"]).strip("<>").partition("@")[0]
    name, address = parseaddr(SENDER)
    expected = {
        "From": f"{name} <{address}>",
        "To": rows[key]["email"],
        "Subject": "Happy birthday",
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": f"<{UNSUBSCRIBE.replace('{message_id}', key)}>",
        "Content-Type": 'text/plain; charset="utf-8"',
    }
    wrong = [f"{key}: {field} is {mail[field]!r}" for field, value in expected.items() if str(mail[field]) != value]
    if abs((mail["Date"].datetime - datetime.now(UTC)).total_seconds()) > 3600:
        wrong.append(f"{key}: Date is {mail['Date']}")
    text = mail.get_content().rstrip("\r\n")
    return wrong if text == rows[key]["text"] else [*wrong, f"{key}: the text is {text!r}"]


async def by_provider(running: servers.Servers, email_format: EmailFormat, greetings: int, errors: float) -> list[str]:
    """Send through the fake of a provider, and return what is wrong as sentences."""
    fake = FakeProvider(DIALECTS[email_format])
    kinds = [name for name, one in fake.dialect.mistakes.items() if one.outcome is Outcome.TRANSIENT_FAILURE]
    faults = RandomFaults([*kinds, *(["cut"] if keys_last(email_format) else [])], errors)
    fake.faults = faults
    await fake.listen()
    try:
        url = f"{fake.url}?region=eu-west-1" if email_format is EmailFormat.SES else fake.url
        settings = {"EMAIL_URL": url, "EMAIL_FORMAT": email_format.value, "EMAIL_TOKEN": TOKEN}
        ended = await wave(running, greetings, settings)
    finally:
        await fake.close()
    found = Counter(str(one.key) for one in fake.books)
    sent = ended.of("sent")
    _say(
        f"{email_format}: {len(sent)} of {len(ended.rows)} sent in {ended.seconds:.1f} s, {fake.requests} requests, "
        f"{faults.drawn.total()} errors of {len(faults.drawn)} kinds"
    )
    texts = {str(one.key): one.text for one in fake.books}
    wrong = [f"{key} was accepted {count} times" for key, count in found.items() if count > 1]
    wrong += [f"{row['id']} is {row['status']}" for row in ended.rows if row["status"] != "sent"]
    wrong += [f"{key} is sent and was not accepted" for key in sent.keys() - found.keys()]
    return wrong + [f"{key}: the text is {texts[key]!r}" for key, row in sent.items() if texts.get(key) != row["text"]]


async def measure(ways: list[str], greetings: int, errors: float) -> list[str]:
    """Send a wave by each way, and return what is wrong as sentences."""
    wrong = []
    async with servers.running(rabbitmq=False) as running:
        for way in ways:
            if way == SMTP:
                found = await by_smtp(running, greetings)
            else:
                found = await by_provider(running, EmailFormat(way), greetings, errors)
            wrong += [f"{way}: {what}" for what in found]
    return wrong


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    providers = [one.value for one in DIALECTS]
    parser.add_argument(
        "ways", nargs="+", choices=[SMTP, *providers], metavar="WAY", help=", ".join((SMTP, *providers))
    )
    parser.add_argument("--greetings", type=int, default=5_000)
    parser.add_argument("--errors", type=float, default=0.1, help="share of a provider's answers that are errors")
    args = parser.parse_args()
    if wrong := uvloop.run(measure(args.ways, args.greetings, args.errors)):
        sys.exit("\n".join(wrong[:50]))


if __name__ == "__main__":
    main()
