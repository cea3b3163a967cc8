"""The facts that a message leaves on its way, in order: between any two of them a node may die, and nothing is lost.

Every actor tells a witness when a fact has been left. In production nobody listens; a test, or a rehearsal, stops the
node there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import StrEnum


class Fact(StrEnum):
    """A fact in PostgreSQL, in Redis, in the delivery queue or with the email service."""

    PLAN_ANNOUNCED = "plan-announced"
    PLAN_APPENDED = "plan-appended"
    PLANNED = "planned"
    PLAN_FINISHED = "plan-finished"
    DUE_CLAIMED = "due-claimed"
    DUE_APPENDED = "due-appended"
    PUBLISHED = "published"
    DUE_FINISHED = "due-finished"
    RECEIVED = "received"
    CLAIMED = "claimed"
    ANSWERED = "answered"
    REMEMBERED = "remembered"
    RECORDED = "recorded"
    ACKNOWLEDGED = "acknowledged"


Witness = Callable[[Fact], None]


def nobody(_fact: Fact) -> None:
    """The witness in production."""


def die_after(fact: Fact, times: int = 1) -> Witness:
    """A witness that kills this process, as kill -9 would, when `fact` has been left for the `times`-th time."""
    left = times

    def witness(seen: Fact) -> None:
        nonlocal left
        if seen is fact:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return witness
