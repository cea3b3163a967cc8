"""Reserved turns: the instants at which this node may call an email service under the rate that all nodes share.

A sender reserves turns before it claims messages, one for each message. A claim may get fewer messages than that: after
a restart of RabbitMQ, bundles that were sent but not acknowledged come again. The turns that are left over are kept for
the next claims of this node. If they were dropped, nothing would leave until they have passed.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from service.domain.messages import EmailServiceName


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns, by the loop's clock, at which calls of `service` may be made.

    `epoch` counts the decreases of the rate. Once the rate has another epoch, the turns are void.
    """

    service: EmailServiceName
    epoch: Hashable
    at: list[float]


class SpareTurns:
    """The reserved turns of one node at one service that no call has used."""

    def __init__(self) -> None:
        self._epoch: Hashable = None
        self._at: list[float] = []

    def put(self, turns: Turns) -> None:
        """Keep turns for later calls. Those of another epoch are dropped."""
        earlier = self._at if self._epoch == turns.epoch else []
        self._epoch, self._at = turns.epoch, sorted([*earlier, *turns.at])

    def take(self, count: int, *, epoch: Hashable, not_before: float) -> list[float]:
        """At most `count` turns of this epoch that have not passed, the earliest first."""
        if self._epoch != epoch:
            return []
        usable = [at for at in self._at if at >= not_before]
        self._at = usable[count:]
        return usable[:count]
