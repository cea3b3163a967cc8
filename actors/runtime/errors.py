"""The errors of the actor runtime."""

from __future__ import annotations


class ActorError(Exception):
    """Root of the errors that the runtime raises."""


class Stopped(ActorError):
    """The actor takes no more messages: it drains, or has ended for good."""

    def __init__(self, actor: str) -> None:
        super().__init__(f"{actor} is stopped")
        self.actor = actor


class MailboxFull(ActorError):
    """An actor sent itself a message while its mailbox was full. To wait for room would be a deadlock."""

    def __init__(self, actor: str) -> None:
        super().__init__(f"{actor} would wait for room in its own mailbox")
        self.actor = actor


class ActorFailed(ActorError):
    """The actor crashed, or was stopped, while it worked on the message of this ask. The cause is chained."""

    def __init__(self, actor: str, reason: BaseException) -> None:
        super().__init__(f"{actor} failed on this message: {type(reason).__name__}")
        self.actor = actor
        self.__cause__ = reason


class StrayCancellation(ActorError):
    """A task was cancelled, but not by its supervisor; a library does so when its channel closes. It is a failure."""

    def __init__(self, actor: str) -> None:
        super().__init__(f"{actor} was cancelled, and not by its supervisor")
        self.actor = actor


class TooManyRestarts(ActorError):
    """The children of a supervisor failed more often than its intensity allows. The last failure is chained."""

    def __init__(self, supervisor: str, restarts: int, within: float, last: BaseException) -> None:
        super().__init__(
            f"{supervisor} gave up after {restarts} restarts in {within:g} s; the last failure: {type(last).__name__}"
        )
        self.supervisor = supervisor
        self.__cause__ = last
