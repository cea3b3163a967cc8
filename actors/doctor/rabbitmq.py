"""Checks of RabbitMQ: the queues, their kind, who consumes, and the dead letters."""

from __future__ import annotations

from collections.abc import Iterator

from actors.doctor.remarks import Remark, bad, warning, well
from service.adapters.rabbitmq.checkup import Broker, QueueFound, look
from service.adapters.rabbitmq.topology import DEAD, DELIVERY


async def check_rabbitmq(url: str | None) -> list[Remark]:
    """Everything about RabbitMQ. Raises Unavailable."""
    if url is None:
        return [well("HEYDAY_RABBITMQ_URL is not set: the delivery queue is a Redis stream")]
    broker = await look(url)
    return [well(f"{broker.product} {broker.version}"), *_delivery(broker), *_dead(broker)]


def _delivery(broker: Broker) -> Iterator[Remark]:
    queue = broker.delivery
    if queue is None:
        yield warning(f"there is no queue {DELIVERY} yet: the first node makes it; is one running?")
        return
    yield from _kind(DELIVERY, queue)
    if not queue.consumers:
        yield (bad if queue.ready else warning)(
            f"{DELIVERY} has {queue.ready} bundles and no consumer: no node takes them; does one run, and is its "
            "circuit closed?"
        )
    else:
        yield well(f"{DELIVERY} has {queue.ready} bundles ready and {queue.consumers} consumers")


def _dead(broker: Broker) -> Iterator[Remark]:
    queue = broker.dead
    if queue is None:
        return
    yield from _kind(DEAD, queue)
    if queue.ready:
        yield warning(f"{queue.ready} dead letters: copies of failed messages, and what nobody understood")
    else:
        yield well("no dead letters")


def _kind(name: str, queue: QueueFound) -> Iterator[Remark]:
    if queue.differs is not None:
        yield bad(
            f"{name} is not the quorum queue that heyday makes ({queue.differs}): delete it, and a node makes it "
            "again; its work is found from the rows"
        )
    else:
        yield well(f"{name} is a quorum queue")
