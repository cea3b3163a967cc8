"""Copies of dead letters: how many messages each stands for, and why the broker made it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import structlog
from aio_pika.abc import AbstractMessage

from service.adapters.rabbitmq.topology import DELIVERY
from service.domain.bundles import messages_in

WARNING_INTERVAL = 60.0
"""Seconds between two warnings about a policy."""

POLICIES_TOLD = 600.0
"""Seconds for which a policy is told after the last dead letter that it made."""

POLICIES = {"expired": "message-ttl", "maxlen": "max-length"}
"""The reasons of the broker that only a policy on the delivery queue can cause, and the key of that policy."""

log = structlog.get_logger(__name__)


class DeadLetterCounter:
    """Counts the messages of dead letters by `count`, and warns of policies that make dead letters of good bundles."""

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self._warned_at = float("-inf")
        self._seen_at: dict[str, float] = {}

    def take(self, message: AbstractMessage) -> None:
        """Count one dead letter."""
        self._count(messages_in(message.body))
        policy = policy_of(message)
        if policy is None:
            return
        now = self._seen_at[policy] = time.monotonic()
        if now - self._warned_at >= WARNING_INTERVAL:
            self._warned_at = now
            log.error("queue_policy_detected", queue=DELIVERY, policy=policy)

    def policies(self) -> Mapping[str, float]:
        """The policies that made dead letters lately, and how many seconds ago each made the last one.

        A policy for every queue drops the dead letters, too. Then only a node that took one knows of it.
        """
        now = time.monotonic()
        return {policy: now - at for policy, at in self._seen_at.items() if now - at < POLICIES_TOLD}


def policy_of(message: AbstractMessage) -> str | None:
    """The key of the policy on the delivery queue that made this dead letter, or None."""
    deaths = message.headers.get("x-death")
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, dict) and death.get("queue") == DELIVERY:
            return POLICIES.get(str(death.get("reason")))
    return None
