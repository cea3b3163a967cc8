"""Events that the runtime reports; the composition root turns them into logs and metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """The start of an actor, or of every child of a supervisor, has returned."""

    actor: str


@dataclass(frozen=True, slots=True)
class Crashed:
    """An actor failed, or a supervisor gave up. Restarting or Escalated follows, unless the tree drains."""

    actor: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task of an actor failed and the actor did not: the task was isolated, or was being ended."""

    actor: str
    task: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class StopFailed:
    """The stop() of an actor raised, or took too long. Its resources may be left open."""

    actor: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Restarting:
    """An actor is started again after `delay` seconds; `restarts` counts all restarts since the first start."""

    actor: str
    delay: float
    restarts: int


@dataclass(frozen=True, slots=True)
class Escalated:
    """A supervisor has given up: it stops its children, and its own supervisor decides."""

    actor: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Draining:
    """An actor begins to drain."""

    actor: str


@dataclass(frozen=True, slots=True)
class Drained:
    """An actor has ended with no work left."""

    actor: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An actor was ended with work left: messages in its mailbox, tasks, or a message that it was receiving."""

    actor: str
    messages: int
    tasks: int
    receiving: bool


Event = Started | Crashed | TaskFailed | StopFailed | Restarting | Escalated | Draining | Drained | Abandoned
Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class DrainReport:
    """The result of a drain: the abandoned work, in the order of ending, and the seconds that it took."""

    abandoned: tuple[Abandoned, ...]
    took: float

    @property
    def clean(self) -> bool:
        """True when nothing was abandoned."""
        return not self.abandoned
