"""What a supervisor sees of each child: an actor, a pool, or another supervisor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from actors.runtime.events import Abandoned, Event
from actors.runtime.spec import ActorState, ChildView, Kind, Restart


class Parent(Protocol):
    """What a child sees of its supervisor."""

    def emit(self, event: Event) -> None:
        """Report a fact."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def child_ended(self, child: Child, error: BaseException | None) -> None:
        """The child has ended, by failure or by itself, and has tidied up. Not called for what the parent asked."""


class Child(ABC):
    """Something that is started, watched, halted and drained. Between two starts, its mailboxes stay."""

    kind: Kind
    restart = Restart.PERMANENT

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = ActorState.STOPPED
        self.restarts = 0
        self.last_error: str | None = None
        self.retired = False
        self._since: float | None = None

    @abstractmethod
    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    @abstractmethod
    async def up(self) -> bool:
        """Start, and return True when it runs; False when it has failed, which has been reported by then.

        Cancelled, it may leave a start under way, which `halt`, `finish` or `close` ends.
        """

    @abstractmethod
    async def halt(self) -> None:
        """End what runs, now, so that `up` can be called again. Isolated tasks go on."""

    @abstractmethod
    async def freeze(self) -> None:
        """Restart nothing any more: a drain has begun somewhere above. What is not running will not run again."""

    @abstractmethod
    async def finish(self, within: float) -> list[Abandoned]:
        """Drain, at most so many seconds, then `close`."""

    @abstractmethod
    async def close(self) -> list[Abandoned]:
        """End for good, now, isolated tasks included, and tell what was left. Calling it again tells nothing new."""

    @abstractmethod
    def retire(self) -> None:
        """Take no more messages: nobody will receive them."""

    @abstractmethod
    def view(self) -> ChildView:
        """This child, and those below it, as they are now."""

    def enter(self, state: ActorState) -> None:
        """Be in this state from now on."""
        if state is not self.state:
            self.state = state
            self._since = self.now()

    @property
    def since(self) -> float:
        """For how many seconds it has been in its state."""
        return 0.0 if self._since is None else self.now() - self._since
