"""The base class of a fault: it is injected, it ends, and a condition tells when heyday has recovered from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from actors.commands.chaos.environment import Environment


class Need(StrEnum):
    """A precondition of a fault. The environment lists those that it lacks, each with the reason."""

    OWN_SERVERS = "private servers"
    RABBITMQ = "RabbitMQ"
    OWN_RABBITMQ = "a private RabbitMQ"
    SMALL_DISK = "a small disk for PostgreSQL"
    POWER_DISKS = "disks that lose unsynced writes"
    PROCESS_LIMITS = "limits for running processes"
    RELAYED_POSTGRES = "a relay in front of PostgreSQL"
    RELAYED_REDIS = "a relay in front of Redis"
    RELAYED_RABBITMQ = "a relay in front of RabbitMQ"


EFFECT_WITHIN = 30.0
"""Seconds beyond its duration in which a fault must meet something."""


class NoEffect(Exception):
    """The fault met nothing, so it shows nothing. The message says what it did not find."""


async def require_effect(
    environment: Environment, effect: Callable[[], float], otherwise: str, *, within: float = EFFECT_WITHIN
) -> None:
    """Keep the fault up until `effect` is above 0. Raises NoEffect with the words of `otherwise` if it stays 0."""

    async def met() -> bool:
        return effect() > 0

    if not await environment.until(met, within=within):
        raise NoEffect(otherwise)


class Fault(ABC):
    """One fault. It draws its target and duration from `chance`, so that a seed repeats them."""

    name: ClassVar[str]
    does: ClassVar[str]
    """The fault in a few words."""
    recovery: ClassVar[str] = "a greeting begun after the fault is accepted and recorded"
    """The condition of recovery, in words."""
    needs: ClassVar[tuple[Need, ...]] = ()
    takes: ClassVar[float] = 14.0
    """Expected seconds with recovery. The wave must last as long as all faults together."""
    recovery_timeout: ClassVar[float] = 150.0
    """Seconds in which heyday must recover. It notices a bundle lost from a queue after 90 s."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.problems: list[str] = []
        """Faults of heyday that were seen, such as a node that did not drain. Any problem fails the rehearsal."""

    @abstractmethod
    async def inject(self, environment: Environment) -> str:
        """Cause the fault, keep it up and end it. Returns the target and the duration, in words. Raises NoEffect."""

    async def recovered(self, environment: Environment, ended_at: float) -> bool:
        """True if heyday has recovered from the fault that ended at `ended_at`, in seconds since the epoch.

        Raises Unavailable.
        """
        return await environment.greeted_since(ended_at)

    async def cleanup(self, environment: Environment) -> None:  # noqa: B027 - most faults leave nothing behind
        """Restore full strength for the next fault."""

    def seconds(self, least: float, most: float) -> float:
        """Draw a duration."""
        return self.chance.uniform(least, most)


class LostBundles(Fault):
    """The delivery queue loses bundles, and no error reports it."""

    takes: ClassVar[float] = 90.0

    async def recovered(self, environment: Environment, ended_at: float) -> bool:
        """True if no message is queued any more that was queued during the fault, and a later greeting is accepted."""
        return await environment.none_queued_before(ended_at) and await environment.greeted_since(ended_at)
