"""What a supervisor is told about its children, and what it tells about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Generic, Literal, TypeVar

from actors.runtime.actor import Actor
from actors.runtime.address import Address

M = TypeVar("M")


class Restart(Enum):
    """When a child that has ended is started again; failing, it counts against the intensity."""

    PERMANENT = "permanent"
    """Always: it ends only when its supervisor says so."""
    TRANSIENT = "transient"
    """After a failure; a normal end is final."""
    TEMPORARY = "temporary"
    """Never."""


class Strategy(Enum):
    """Which children are restarted when one has failed."""

    ONE_FOR_ONE = "one_for_one"
    """The one that failed."""
    REST_FOR_ONE = "rest_for_one"
    """The one that failed and all that were started after it: stopped in reverse, started in order."""


@dataclass(frozen=True, slots=True)
class ChildSpec(Generic[M]):
    """One actor: `make` builds each new instance, `drain_within` is the seconds that it may take to finish."""

    name: str
    make: Callable[[], Actor[M]]
    address: Address[M]
    restart: Restart = Restart.PERMANENT
    drain_within: float = 10.0


@dataclass(frozen=True, slots=True)
class Pool(Generic[M]):
    """`size` actors over one mailbox, each of which crashes and restarts on its own; `make` gets their number."""

    name: str
    make: Callable[[int], Actor[M]]
    address: Address[M]
    size: int
    drain_within: float = 10.0


class ActorState(StrEnum):
    """What a child is doing."""

    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


Kind = Literal["actor", "pool", "supervisor"]


@dataclass(frozen=True, slots=True)
class ChildView:
    """A child as it is now. `since` is for how many seconds it has been in its state; a mailbox belongs to an actor
    or to a whole pool, otherwise `depth` and `capacity` are None."""

    name: str
    kind: Kind
    state: ActorState
    depth: int | None
    capacity: int | None
    restarts: int
    last_error: str | None
    since: float
    children: tuple[ChildView, ...] = ()
