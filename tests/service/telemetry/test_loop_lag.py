"""The lag of the event loop, as scrapes see it."""

from __future__ import annotations

import asyncio

from service.telemetry.loop_lag import LoopLag
from tests.simulation.loop import VirtualLoop


def test_a_stall_shows_at_every_scrape_of_half_a_minute_and_then_no_more() -> None:
    """A value that lasts from one sample to the next is gone when Prometheus comes, every 10 or 15 s."""
    loop, lag = VirtualLoop(), LoopLag()

    async def scraped() -> list[float]:
        lag.start()
        await asyncio.sleep(1)
        loop._now += 3  # the loop stands still
        shown = []
        for _ in range(4):
            await asyncio.sleep(10)
            lag.worst()  # a second scraper
            shown.append(lag.worst())
        lag.stop()
        return shown

    first, second, _, fourth = loop.run_until_complete(loop.create_task(scraped()))
    loop.close()

    assert first == second >= 2.5
    assert fourth == 0
