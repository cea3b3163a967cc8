"""Whole nodes that send by SMTP or by a provider's API."""

from __future__ import annotations

from service.domain.email_formats import EmailFormat
from tests.fakes.email_providers import DIALECTS, SENDER, TOKEN, FakeProvider
from tests.fakes.mail_server import USER, MailServer
from tests.node.harness import World


async def test_a_node_sends_by_the_api_of_a_provider(small_world: World) -> None:
    """With subject and sender, through errors of the provider, and with the provider's id in the row."""
    world, fake = small_world, FakeProvider(DIALECTS[EmailFormat.POSTMARK])
    await fake.listen()
    fake.faults = ["token", "rate", "busy", "pending"]
    try:
        await world.begin()
        node = await world.node(
            EMAIL_URL=fake.url, EMAIL_FORMAT="postmark", EMAIL_FROM=SENDER, EMAIL_TOKEN=TOKEN, EMAIL_TIMEOUT="20s"
        )
        await world.clock.set(await world.wave(20))
        await world.all_are("sent", 20)
        await node.logged("greeting_sent", times=20)  # a line follows its row
    finally:
        await fake.close()

    assert len({one.key for one in fake.books}) == len(fake.books) == 20
    assert {one.subject for one in fake.books} == {"Happy birthday"}
    ids = await world.fetch("select provider_id from attempts where outcome = 'accepted'")
    assert {row["provider_id"] for row in ids} == {f"id-{number}" for number in range(1, 21)}
    assert {line["provider_id"] for line in node.lines_of("greeting_sent")} == {row["provider_id"] for row in ids}


async def test_a_node_sends_by_smtp(small_world: World) -> None:
    """Temporary replies are retried. One recipient is refused. One mail whose reply is lost is not sent again."""
    world, server = small_world, MailServer(login=True)
    await server.listen()
    server.faults = [("MAIL", "451 4.3.0 busy"), ("RCPT", "450 4.7.1 later"), ("RCPT", "550 5.1.1 no such user")]
    server.faults += [None, ("DATA", "cut")]
    url = f"smtp://{USER}:s3cret%3A%20p%40ss@127.0.0.1:{server.port}?starttls=off"
    try:
        await world.begin()
        await world.node(EMAIL_URL=url, EMAIL_FROM=SENDER, EMAIL_TIMEOUT="20s")
        await world.clock.set(await world.wave(20))
        await world.all_end()
    finally:
        await server.close()

    counts = await world.fetch("select status::text, count(*) from messages group by 1")
    assert {row["status"]: row["count"] for row in counts} == {"sent": 18, "failed": 1, "unknown": 1}
    assert len({str(one["Message-ID"]) for one in server.accepted}) == len(server.accepted) == 19
    assert len(set(server.recipients)) == 19
    [row] = await world.fetch("select status_reason from messages where status = 'failed'")
    assert row["status_reason"] == "550 5.1.1 no such user"
