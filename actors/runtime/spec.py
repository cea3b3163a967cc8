"""The specification of the children of a supervisor, and the view of them while they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Generic, Literal, TypeVar

from actors.runtime.actor import Actor
from actors.runtime.address import Address

M = TypeVar("M")


class Strategy(Enum):
    """The children that are restarted when one has failed."""

    ONE_FOR_ONE = "one_for_one"
    """Only the failed child."""
    REST_FOR_ONE = "rest_for_one"
    """The failed child and all that were started after it: stopped in reverse order, started in order."""


@dataclass(frozen=True, slots=True)
class ChildSpec(Generic[M]):
    """One actor: `make` builds each new instance; it may take `drain_within` seconds to drain."""

    name: str
    make: Callable[[], Actor[M]]
    address: Address[M]
    drain_within: float = 10.0


@dataclass(frozen=True, slots=True)
class Pool(Generic[M]):
    """`size` actors over one mailbox. Each crashes and restarts on its own; `make` gets its number."""

    name: str
    make: Callable[[int], Actor[M]]
    address: Address[M]
    size: int
    drain_within: float = 10.0


class ActorState(StrEnum):
    """The states of a child."""

    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


Kind = Literal["actor", "pool", "supervisor"]


@dataclass(frozen=True, slots=True)
class ChildView:
    """A child as it is now. It has been in its state for `since` seconds.

    An actor has a mailbox, or shares the mailbox of its pool; without one, `depth` and `capacity` are None.
    """

    name: str
    kind: Kind
    state: ActorState
    depth: int | None
    capacity: int | None
    restarts: int
    last_error: str | None
    since: float
    children: tuple[ChildView, ...] = ()
