"""The ticker: how it hands out what is due."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from actors.dispatcher import IDS_PER_BUNDLE
from actors.facts import nobody
from actors.lease import Lease
from actors.runtime import Address, ChildSpec, Supervisor
from actors.ticker import Ticker
from service.clock import BusinessClock
from service.domain.bundles import decode
from service.outages import Outages
from service.ports import CircuitState, Due, Pulse
from service.telemetry.metrics import Metrics
from tests.service.steady import Steady

NOW = datetime(2027, 3, 14, 9, tzinfo=UTC)


class Wave:
    """Rows and stream of a wave of so many, due now and delivered at once: it remembers claims and entries."""

    def __init__(self, due: int) -> None:
        self.left = due
        self.limits: list[int] = []
        self.appended = 0
        self.gone = asyncio.Event()

    async def pulse(self) -> Pulse:
        return Pulse(NOW, NOW, 1.0, NOW if self.left else None)

    async def outstanding(self, _limit: int) -> int:
        return 0

    async def claim_due(self, *, limit: int, **_: object) -> Due:
        self.limits.append(limit)
        claimed = min(limit, self.left)
        self.left -= claimed
        return Due(tuple(uuid4() for _ in range(claimed)), ())

    async def append(self, bodies: Sequence[str], *, traceparent: str | None = None) -> None:
        self.appended += sum(len(decode(body)) for body in bodies)
        if not self.left:
            self.gone.set()


class Locks:
    """A lock that nobody else wants."""

    async def acquire(self, _name: str, *, ttl: float, above: int = 0) -> int:
        return above + 1

    async def renew(self, _name: str, _number: int, *, ttl: float) -> bool:
        return True

    async def release(self, _name: str, _number: int) -> None:
        pass


class Email:
    """An email service whose circuit is closed."""

    circuit = CircuitState.CLOSED


async def test_a_wave_begins_with_one_bundle_and_each_claim_is_twice_the_one_before() -> None:
    """The first greeting waits for the first claim and for all that is published with it; a claim of hundreds took
    longer than everything else before the first call. The bulk still goes in few, large statements."""
    wave, steady = Wave(10_000), Steady()
    lease = Lease(steady)
    lease.renew(7, steady.at)
    parts: tuple[Any, Any, Any, Any] = (wave, wave, Locks(), Email())
    stage = Supervisor(
        "stage",
        [
            ChildSpec(
                "ticker",
                lambda: Ticker(
                    *parts,
                    lease=lease,
                    clock=BusinessClock(),
                    cron="0 0 1 1 *",
                    late_limit=timedelta(hours=48),
                    email_rate=None,
                    on_jump=lambda _: None,
                    outages=Outages(),
                    metrics=Metrics(),
                    witness=nobody,
                ),
                Address("ticker", capacity=1),
            )
        ],
    )

    await stage.start()
    async with asyncio.timeout(30):
        await wave.gone.wait()
    await stage.drain(5)

    assert wave.limits[0] <= IDS_PER_BUNDLE
    assert wave.limits[:5] == [wave.limits[0] * 2**number for number in range(5)]
    assert len(wave.limits) < 20
    assert wave.appended == 10_000
