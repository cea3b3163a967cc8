"""What a fault is: something that is caused, kept up for a while and ended, and a way to tell that it is overcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from actors.chaos.stage import Stage


class Need(StrEnum):
    """What a fault cannot be caused without; a stage says what it lacks, and why."""

    OWN_SERVERS = "servers of our own"
    RABBITMQ = "RabbitMQ"
    OWN_RABBITMQ = "a RabbitMQ of our own"
    QUOTA = "a small disk for PostgreSQL"
    MEMORY_LIMIT = "a memory limit for nodes that run"
    RELAYED_POSTGRES = "a relay before PostgreSQL"
    RELAYED_REDIS = "a relay before Redis"
    RELAYED_RABBITMQ = "a relay before RabbitMQ"


class Fault(ABC):
    """One fault. What it hits, and for how long, is drawn from `chance`, so that a seed repeats it."""

    name: ClassVar[str]
    does: ClassVar[str]
    """What happens, in a few words."""
    over_when: ClassVar[str] = "a greeting that was begun after the fault is accepted and on record"
    """What it means to have recovered."""
    needs: ClassVar[tuple[Need, ...]] = ()

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.problems: list[str] = []
        """What went wrong with the fault itself, such as a node that would not drain: the rehearsal has failed then."""

    @abstractmethod
    async def strike(self, stage: Stage) -> str:
        """Cause it, keep it up and end it; returns what was hit, for people."""

    async def over(self, stage: Stage, ended_at: float) -> bool:
        """Whether heyday has recovered from what ended at `ended_at` (seconds since the epoch). Raises Unavailable."""
        return await stage.greeted_since(ended_at)

    async def tidy(self, stage: Stage) -> None:  # noqa: B027 - most leave nothing to tidy up
        """Bring the stage back to its full strength for the next fault."""

    def seconds(self, least: float, most: float) -> float:
        """A duration."""
        return self.chance.uniform(least, most)
