"""The child of a supervisor: an actor, a pool, or another supervisor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from actors.runtime.events import Abandoned, Event
from actors.runtime.spec import ActorState, ChildView, Kind


class Parent(Protocol):
    """A supervisor as its children see it."""

    def emit(self, event: Event) -> None:
        """Report an event."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    def child_ended(self, child: Child, error: BaseException | None) -> None:
        """The child has failed, or is drained, and is cleaned up. Not called when the parent halts it."""


class Child(ABC):
    """A child that can be started, halted, drained and closed. Its mailboxes survive a restart.

    docs/explanation/actor_runtime.md tells `halt`, `freeze`, `finish`, `close` and `retire` apart.
    """

    kind: Kind

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = ActorState.STOPPED
        self.restarts = 0
        self.last_error: str | None = None
        self.retired = False
        self._since: float | None = None

    @abstractmethod
    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    @abstractmethod
    async def up(self) -> bool:
        """Start; return True when it runs, False when it has failed, which is reported by then.

        When it is cancelled, a start may still be under way; `halt`, `finish` and `close` end it.
        """

    @abstractmethod
    async def halt(self) -> None:
        """Stop the instance now, so that `up` can be called again. Isolated tasks continue."""

    @abstractmethod
    async def freeze(self) -> None:
        """End all restarts, because a drain has begun above. A child that does not run now never runs again."""

    @abstractmethod
    async def finish(self, within: float) -> list[Abandoned]:
        """Drain for at most so many seconds, then `close`."""

    @abstractmethod
    async def close(self) -> list[Abandoned]:
        """End for good, now, isolated tasks included; return the abandoned work. A second call returns nothing new."""

    @abstractmethod
    def retire(self) -> None:
        """Refuse all messages from now on: no instance will receive them."""

    @abstractmethod
    def view(self) -> ChildView:
        """Return this child and those below it as they are now."""

    def enter(self, state: ActorState) -> None:
        """Change the state."""
        if state is not self.state:
            self.state = state
            self._since = self.now()

    @property
    def since(self) -> float:
        """Seconds since the last change of the state."""
        return 0.0 if self._since is None else self.now() - self._since
