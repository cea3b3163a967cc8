"""A fallback without Redis is logged once at its start and once at its end."""

from __future__ import annotations

from structlog.testing import capture_logs

from actors.commands.sandbox.servers.relay import relayed
from service.adapters.redis.connection import connect
from service.adapters.redis.fallback import PAUSE_AFTER_FAILURE
from service.adapters.redis.rate import RedisRateLimit
from service.adapters.redis.request_rate import RedisRequestRate


async def test_an_outage_of_redis_is_one_line_when_it_begins_and_one_when_it_ends(redis_url: str) -> None:
    """A line every two seconds from two parts of every node would hide other lines."""
    now = 0.0
    async with relayed(redis_url) as relay:
        clients = connect(relay.url)
        rate = RedisRateLimit(clients.commands, 1e6, nodes=lambda: 1, clock=lambda: now)
        requests = RedisRequestRate(clients.commands, 1e6, clock=lambda: now)

        with capture_logs() as lines:
            for cut in (False, True, True, True, False, False):
                relay.cut() if cut else relay.mend()
                await rate.reserve(1)
                await requests.take("client")
                now += PAUSE_AFTER_FAILURE
        await clients.close()

    said = [(line["event"], line["what"], line.get("seconds")) for line in lines]
    assert sorted(said) == [
        ("redis_fallback_ended", "the rate of the email service", 3 * PAUSE_AFTER_FAILURE),
        ("redis_fallback_ended", "the rates of clients", 3 * PAUSE_AFTER_FAILURE),
        ("redis_fallback_started", "the rate of the email service", None),
        ("redis_fallback_started", "the rates of clients", None),
    ]
