"""The names of streams and queues in Redis and RabbitMQ, which operators use on the command line."""

from __future__ import annotations

from dataclasses import dataclass

PLAN = "heyday:plan"
"""The stream of ranges to plan."""

DUE = "heyday:due"
"""The stream of messages that are due."""


@dataclass(frozen=True, slots=True)
class QueueNames:
    """The delivery queue and its dead letters, in the system that holds them."""

    system: str
    delivery: str
    dead: str


RABBITMQ_QUEUE = QueueNames("rabbitmq", "heyday.delivery", "heyday.dead")
REDIS_QUEUE = QueueNames("redis", "heyday:delivery", "heyday:dead")

STREAMS = (PLAN, DUE, REDIS_QUEUE.delivery)
"""The streams that nodes read."""
