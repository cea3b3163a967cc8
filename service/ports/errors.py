"""What the world outside says instead of an answer; every adapter speaks these words."""

from __future__ import annotations


class Unavailable(Exception):
    """A server that heyday depends on is away: wait and try again. It is an outage, not a bug."""

    def __init__(self, system: str, reason: str) -> None:
        super().__init__(f"{system} is unavailable: {reason}")
        self.system = system
        self.reason = reason


class NotAdopted(Unavailable):
    """The database is not the one that this cluster worked with: nothing is sent until a person has adopted it."""

    def __init__(self, reason: str) -> None:
        super().__init__("cluster", f"{reason}; `heyday doctor` says more, `heyday doctor --adopt` accepts it as it is")


class Emptied(Exception):
    """A store has lost what it held: the work in it has to be seeded again from the rows."""


class CircuitOpen(Exception):
    """The circuit is open: nothing was sent and no attempt was spent."""


class Replaced(Exception):
    """Another holder has taken the lock since: its fencing number, which is higher than ours, is `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"replaced by the holder of fencing number {number}")
        self.number = number


class EmailTaken(Exception):
    """Another user, not deleted, has this address."""


class UserChanged(Exception):
    """The user is no longer of the version that the change was made for; it is of `version`."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the user is of version {version} now")
        self.version = version
