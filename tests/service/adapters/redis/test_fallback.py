"""Those who do without Redis for a while say so once, and once that it is over."""

from __future__ import annotations

from structlog.testing import capture_logs

from service.adapters.redis.absence import AWAY_FOR
from service.adapters.redis.connection import connect
from service.adapters.redis.rate import RedisRateLimit
from service.adapters.redis.request_rate import RedisRequestRate
from service.embedded.relay import relayed


async def test_an_outage_of_redis_is_one_line_when_it_begins_and_one_when_it_ends(redis_url: str) -> None:
    """A line every two seconds, of two parts of every node, buries what matters in a night's outage."""
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
                now += AWAY_FOR
        await clients.close()

    said = [(line["event"], line["what"], line.get("seconds")) for line in lines]
    assert sorted(said) == [
        ("does_without_redis", "the rate of the email service", None),
        ("does_without_redis", "the rates of clients", None),
        ("goes_by_redis_again", "the rate of the email service", 3 * AWAY_FOR),
        ("goes_by_redis_again", "the rates of clients", 3 * AWAY_FOR),
    ]
