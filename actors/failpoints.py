"""Failpoints: the durable steps of a message, in order. A node may die after any of them, and nothing is lost.

Actors call a hook after each step. In production the hook does nothing; tests and `heyday chaos` end the node there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import StrEnum


class Failpoint(StrEnum):
    """A step that PostgreSQL, Redis, the delivery queue or the email service has taken."""

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


FailpointHook = Callable[[Failpoint], None]


def no_failpoints(_reached: Failpoint) -> None:
    """Do nothing: the hook of production."""


def crash_at(failpoint: Failpoint, times: int = 1) -> FailpointHook:
    """Make a hook that kills this process, as kill -9 does, when it reaches `failpoint` for the `times`-th time."""
    left = times

    def hook(reached: Failpoint) -> None:
        nonlocal left
        if reached is failpoint:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook
