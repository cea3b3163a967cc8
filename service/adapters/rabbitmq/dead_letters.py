"""Copies of dead letters: how many messages each stands for, and why the broker made it."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from aio_pika.abc import AbstractMessage

from service.adapters.rabbitmq.topology import DELIVERY
from service.domain.bundles import messages_in

WARNING_INTERVAL = 60.0
"""Seconds between two warnings about a policy."""

POLICIES = {"expired": "message-ttl", "maxlen": "max-length"}
"""The reasons of the broker that only a policy on the delivery queue can cause, and the key of that policy."""

log = structlog.get_logger(__name__)


class DeadLetterCounter:
    """Counts the messages of dead letters by `count`, and warns of policies that make dead letters of good bundles."""

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self._warned_at = float("-inf")

    def take(self, message: AbstractMessage) -> None:
        """Count one dead letter."""
        self._count(messages_in(message.body))
        policy = policy_of(message)
        if policy is not None and time.monotonic() - self._warned_at >= WARNING_INTERVAL:
            self._warned_at = time.monotonic()
            log.error("queue_policy_detected", queue=DELIVERY, policy=policy)


def policy_of(message: AbstractMessage) -> str | None:
    """The key of the policy on the delivery queue that made this dead letter, or None."""
    deaths = message.headers.get("x-death")
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, dict) and death.get("queue") == DELIVERY:
            return POLICIES.get(str(death.get("reason")))
    return None
