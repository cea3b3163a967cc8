"""What the runtime reports while it works: facts, for the composition root to turn into logs and metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """The start of an actor, or of every child of a supervisor, has returned."""

    actor: str


@dataclass(frozen=True, slots=True)
class Crashed:
    """An actor failed, or a supervisor gave up. Restarting or Escalated follows, unless it is not to be restarted."""

    actor: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task of an actor failed without taking the actor with it: an isolated one, or one that was being ended."""

    actor: str
    task: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class StopFailed:
    """The stop() of an actor raised, or took too long. What it held may be left open."""

    actor: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Restarting:
    """An actor will be started again after `delay` seconds; `restarts` counts those of its whole life."""

    actor: str
    delay: float
    restarts: int


@dataclass(frozen=True, slots=True)
class Escalated:
    """A supervisor has stopped restarting: its children are stopped, and its own supervisor decides."""

    actor: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Draining:
    """An actor begins to finish what it has."""

    actor: str


@dataclass(frozen=True, slots=True)
class Drained:
    """An actor has ended with nothing left undone."""

    actor: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An actor was ended with work left: messages in its mailbox, tasks cancelled, a message in its hands."""

    actor: str
    messages: int
    tasks: int
    receiving: bool


Event = Started | Crashed | TaskFailed | StopFailed | Restarting | Escalated | Draining | Drained | Abandoned
Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How a drain ended: what was abandoned, in the order of ending, and how many seconds it took."""

    abandoned: tuple[Abandoned, ...]
    took: float

    @property
    def clean(self) -> bool:
        """Whether nothing was abandoned."""
        return not self.abandoned
