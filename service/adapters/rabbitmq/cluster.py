"""The cluster that uses the queues of a virtual host: one message in `heyday.cluster` that nodes renew.

Two deployments on one virtual host would take each other's bundles. The first one keeps the queues, and the second one
is refused until the mark of the first one has expired.
"""

from __future__ import annotations

import asyncio

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel

from service.adapters.rabbitmq.topology import CLUSTER, DELIVERY
from service.ports import Unavailable

RENEWAL_INTERVAL = 10.0
"""Seconds after which a node that publishes renews the mark, and one that consumes checks it."""

READS = 4
"""Checks of the mark before it counts as missing. A node that checks it holds it for the time of a round trip."""

READ_INTERVAL = 0.05
"""Seconds between two of them."""


class ClusterMark:
    """The mark as one node sees it. What this node wrote before is its own, also after its database was adopted."""

    def __init__(self) -> None:
        self._written: set[str] = set()

    async def check(self, channel: AbstractChannel, cluster: str) -> None:
        """Raise Unavailable when another cluster uses the queues. Raises what the library raises."""
        owner = await _owner(channel)
        if owner is not None and owner != cluster and owner not in self._written:
            raise Unavailable(
                "rabbitmq",
                f"another deployment uses the queues of this virtual host (its cluster is {owner}, this one is "
                f"{cluster}). Give one of them a virtual host of its own in HEYDAY_RABBITMQ_URL",
            )

    async def renew(self, channel: AbstractChannel, cluster: str) -> None:
        """Mark the queues as used by `cluster`. Raises Unavailable when another cluster uses them.

        `channel` publishes with confirms. Raises what the library raises.
        """
        await self.check(channel, cluster)
        self._written.add(cluster)
        exchange = await channel.get_exchange(DELIVERY, ensure=False)
        # The queue keeps one message: the new one replaces the old one.
        await exchange.publish(
            Message(
                cluster.encode(), content_type="text/plain", delivery_mode=DeliveryMode.PERSISTENT, app_id="heyday"
            ),
            routing_key=CLUSTER,
        )


async def _owner(channel: AbstractChannel) -> str | None:
    """Return the cluster in the mark, or None if there is no mark. Raises what the library raises."""
    queue = await channel.get_queue(CLUSTER, ensure=False)
    for read in range(READS):
        if read:
            await asyncio.sleep(READ_INTERVAL)
        if (mark := await queue.get(fail=False)) is not None:
            await mark.nack(requeue=True)
            return mark.body.decode(errors="backslashreplace")
    return None
