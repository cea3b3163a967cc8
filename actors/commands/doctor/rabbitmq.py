"""Checks of RabbitMQ: the queues, their type, their consumers and the dead letters."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress

from actors.commands.doctor.check_results import CheckResult, error, ok, warning
from actors.commands.doctor.node_reports import NodeReports
from service.adapters.postgres.checkup import PostgresCheckup
from service.adapters.postgres.cluster import PostgresCluster
from service.adapters.postgres.connection import Database
from service.adapters.rabbitmq.checkup import Broker, QueueFound, look
from service.adapters.rabbitmq.topology import DEAD, DELIVERY
from service.ports import Unavailable

_UNSEEN = logging.NullHandler()
"""For the library's own lines about an outage, which Python would write to stderr: the results tell of it."""


async def check_rabbitmq(url: str | None, database: Database, reports: NodeReports) -> list[CheckResult]:
    """Check the broker, its queues, what nodes say of them, and their owner. Raises Unavailable."""
    if url is None:
        return [ok("HEYDAY_RABBITMQ_URL is not set: the delivery queue is a Redis stream")]
    logging.getLogger("aiormq").addHandler(_UNSEEN)
    broker = await look(url)
    return [
        ok(f"{broker.product} {broker.version}"),
        *_delivery(broker),
        *_harm(broker),
        *await reports.queue_policies(broker.policies),
        *_dead(broker),
        *await _losses(database),
        *await _owner(broker, database),
    ]


def _delivery(broker: Broker) -> Iterator[CheckResult]:
    queue = broker.delivery
    if queue is None:
        yield warning(f"there is no queue {DELIVERY} yet: the first node creates it; start a node")
        return
    yield from _kind(DELIVERY, queue)
    if not queue.consumers:
        yield (error if queue.ready else warning)(
            f"{DELIVERY} has {queue.ready} bundles and no consumer: check that a node runs; a node whose "
            "circuit is open consumes nothing"
        )
    else:
        yield ok(f"{DELIVERY} has {queue.ready} bundles ready and {queue.consumers} consumers")


def _harm(broker: Broker) -> Iterator[CheckResult]:
    if broker.blocked:
        yield error("the broker blocks publishers, because it is low on memory or disk space: nothing is sent")
    for policy in broker.policies:
        yield error(
            f"a policy with {policy} makes dead letters of bundles in {DELIVERY}, and their greetings are late: remove "
            "the policy, then empty the dead letters"
        )


async def _losses(database: Database) -> list[CheckResult]:
    with suppress(Unavailable):  # the check of PostgreSQL reports that
        if messages := await PostgresCheckup(database).taken_back():
            return [
                warning(
                    f"{messages} unsent messages were taken back: {DELIVERY} confirmed them and did not deliver them "
                    "within 90 s. If they stay, another program takes them, or the broker loses them: until that is "
                    "repaired, use the Redis stream: unset HEYDAY_RABBITMQ_URL on every node and restart one after the "
                    "other; see DeliveryQueueLosing in the runbook"
                )
            ]
    return []


async def _owner(broker: Broker, database: Database) -> list[CheckResult]:
    with suppress(Unavailable):  # the check of PostgreSQL reports that
        identity = (await PostgresCluster(database).look()).identity
        if broker.cluster is not None and (identity is None or str(identity.id) != broker.cluster):
            own = identity.id if identity is not None else "new"
            return [
                error(
                    f"another deployment uses these queues: its cluster is {broker.cluster}, this one is {own}. Give "
                    "one of them a virtual host of its own in HEYDAY_RABBITMQ_URL"
                )
            ]
    return []


def _dead(broker: Broker) -> Iterator[CheckResult]:
    queue = broker.dead
    if queue is None:
        return
    if queue.differs is not None:
        yield warning(f"{DEAD} has other settings than heyday's ({queue.differs}): when it is empty, delete it")
    if queue.ready:
        yield warning(f"{queue.ready} dead letters: copies of failed messages, and unreadable bundles")
    else:
        yield ok("no dead letters")


def _kind(name: str, queue: QueueFound) -> Iterator[CheckResult]:
    if queue.differs is not None:
        yield error(
            f"{name} is not the quorum queue that heyday declares ({queue.differs}): delete it; a node creates it "
            "again and finds its work in the database"
        )
    else:
        yield ok(f"{name} is a quorum queue")
