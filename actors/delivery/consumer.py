"""Takes bundles from the delivery queue for the delivery actors, as long as the circuit lets greetings out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from actors.delivery.sender import Deliver
from actors.facts import Fact, Witness
from actors.lease import Lease
from actors.repeating import FIRST_WAIT, Repeating, Turn
from actors.runtime import Address, Context
from service.outages import Outages
from service.ports import DeliveryQueue, EmailService, Emptied, Unavailable
from service.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

WAIT_FOR = 1.0
"""Seconds to wait for a bundle, or for the circuit; a drain waits no longer."""


class Intake(Repeating[object]):
    """Consumes with prefetch; waits while the delivery actors are busy, which is the back-pressure."""

    def __init__(
        self,
        queue: DeliveryQueue,
        email: EmailService,
        delivery: Address[Deliver],
        *,
        lease: Lease,
        on_emptied: Callable[[Emptied], None],
        outages: Outages,
        metrics: Metrics,
        witness: Witness,
    ) -> None:
        super().__init__(outages)
        self._queue = queue
        self._email = email
        self._delivery = delivery
        self._lease = lease
        self._on_emptied = on_emptied
        self._metrics = metrics
        self._witness = witness

    async def start(self, ctx: Context[object | Turn]) -> None:
        # After a crash: what was received and lost with it would count against the prefetch for ever.
        await self._queue.close()
        await super().start(ctx)

    async def turn(self) -> float:
        if not await self._lease.granted(within=WAIT_FOR):
            await self._queue.pause()
            return FIRST_WAIT
        if not await self._email.admits(within=WAIT_FOR):
            # What was prefetched goes back: another node's circuit may be closed.
            await self._queue.pause()
            return 0.0
        try:
            delivery = await self._queue.receive(within=WAIT_FOR)
        except Emptied as emptied:
            self._on_emptied(emptied)
            return 0.0
        if delivery is not None:
            self._witness(Fact.RECEIVED)
            self._metrics.queue_processed.inc(len(delivery.ids))
            await self._hand_on(Deliver(delivery))
        return 0.0

    async def _hand_on(self, message: Deliver) -> None:
        """Wait for a delivery actor, unless this node leaves first: what is not acknowledged comes to another."""
        if self._delivery.offer(message):
            return
        telling = self.ctx.spawn(self._delivery.tell(message), name="hand on")
        while not (telling.done() or self.ctx.draining):
            await asyncio.wait((telling,), timeout=WAIT_FOR)
        telling.cancel()

    async def drain(self) -> None:
        """Give back what was prefetched and not received."""
        try:
            await self._queue.pause()
        except Unavailable:
            log.debug("delivery_queue_is_away_and_will_deliver_again")
