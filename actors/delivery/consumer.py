"""Takes bundles from the delivery queue for the senders while the circuit allows calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Never

import structlog

from actors.context import NodeContext
from actors.delivery.sender import Deliver
from actors.failpoints import Failpoint
from actors.periodic import LeasedActor, Tick
from actors.runtime import Address, Context, Stopped
from service.ports import Circuit, DeliveryQueue, Emptied, Unavailable

log = structlog.get_logger(__name__)

WAIT_FOR = 1.0
"""Seconds to wait for a bundle, or for the circuit. It bounds the wait of a drain."""


class Consumer(LeasedActor[Never]):
    """Consumes with prefetch. It waits while all senders are busy, which is the back-pressure."""

    def __init__(
        self,
        node: NodeContext,
        queue: DeliveryQueue,
        email: Circuit,
        delivery: Address[Deliver],
        *,
        on_emptied: Callable[[Emptied], None],
    ) -> None:
        super().__init__(node)
        self._queue = queue
        self._email = email
        self._delivery = delivery
        self._on_emptied = on_emptied
        self._connection_dropped = False

    async def start(self, ctx: Context[Tick]) -> None:
        # After a crash, bundles that the last instance had received would count against the prefetch for ever.
        await self._queue.close()
        await super().start(ctx)

    async def without_lease(self) -> None:
        """Drop the connection once, so that the broker delivers unacknowledged bundles to other nodes.

        What the senders hold goes back, too. The rows decide which node sends it.
        """
        if not self._connection_dropped:
            self._connection_dropped = True
            await self._queue.close()

    async def run_leased(self) -> float:
        self._connection_dropped = False
        if not await self._email.admits(within=WAIT_FOR):
            # Prefetched bundles go back, because another node's circuit may be closed.
            await self._queue.pause()
            return 0.0
        try:
            delivery = await self._queue.receive(within=WAIT_FOR)
        except Emptied as emptied:
            self._on_emptied(emptied)
            return 0.0
        if delivery is not None:
            self.node.failpoint(Failpoint.RECEIVED)
            self.node.metrics.queue_processed.inc(len(delivery.ids))
            await self._hand_on(Deliver(delivery))
        return 0.0

    async def _hand_on(self, message: Deliver) -> None:
        """Wait for a sender. If the node drains or loses its lease first, another node gets the delivery."""
        if self._delivery.offer(message):
            return
        telling = self.ctx.spawn(self._tell(message), name="hand on")
        while not (telling.done() or self.ctx.draining):
            if not self.node.lease.held:
                # Also if it is held again at the next pass: else this delivery would stay unacknowledged for ever.
                await self.without_lease()
                break
            await asyncio.wait((telling,), timeout=WAIT_FOR)
        telling.cancel()

    async def _tell(self, message: Deliver) -> None:
        with suppress(Stopped):  # every sender has failed, and a node that drains restarts none
            await self._delivery.tell(message)

    async def drain(self) -> None:
        """Give back bundles that were prefetched and not received."""
        try:
            await self._queue.pause()
        except Unavailable:
            log.debug("delivery_queue_disconnected")
