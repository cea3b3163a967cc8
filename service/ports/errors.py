"""The errors that every adapter raises instead of those of its library."""

from __future__ import annotations


class Unavailable(Exception):
    """A server that heyday depends on is away: wait and try again. It is an outage, not a bug."""

    def __init__(self, system: str, reason: str) -> None:
        super().__init__(f"{system} is unavailable: {reason}")
        self.system = system
        self.reason = reason

    def anew(self) -> Unavailable:
        """Return the same outage as a new exception. One that is raised twice collects both tracebacks."""
        return Unavailable(self.system, self.reason)


class RulesChanged(Unavailable):
    """The planning rules have changed since the instants were computed: compute them again."""

    def __init__(self) -> None:
        super().__init__("postgres", "the planning rules have just changed")

    def anew(self) -> RulesChanged:
        return RulesChanged()


class UnsuitableDatabase(Exception):
    """No node can work with this database; the text says why, and what to do."""


class Unsupported(Unavailable):
    """A server is of a kind that heyday cannot work with. At start it is an error of the configuration."""


class NotAdopted(Unavailable):
    """The database is not the one that this cluster worked with. No node sends until an operator has adopted it."""

    def __init__(self, reason: str) -> None:
        super().__init__("cluster", f"{reason}; `heyday doctor` says more, `heyday doctor --adopt` accepts it as it is")


class Emptied(Exception):
    """A store has lost its content. The work in it must be published again from the rows."""


class CircuitOpen(Exception):
    """The circuit is open: nothing was sent and no attempt was spent."""


class StaleFencingToken(Exception):
    """The fencing token of this owner is not the highest, which is `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"the highest fencing token is {number}")
        self.number = number


class Busy(Exception):
    """The actor takes no requests now: it is restarting, draining, or has a full mailbox."""


class EmailTaken(Exception):
    """Another user, who is not deleted, has this address."""


class ExternalIdTaken(Exception):
    """Another user, who is not deleted, has this external id."""


class UserChanged(Exception):
    """The user is no longer at the version that the change was made for. The present one is `version`."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the user is of version {version} now")
        self.version = version


class UserNotFound(Exception):
    """The user does not exist, or is deleted."""


class OccasionChanged(Exception):
    """The occasion is not at the expected version. The present one is `version`, None if it does not exist."""

    def __init__(self, version: int | None) -> None:
        super().__init__(f"the occasion is of version {version} now")
        self.version = version


class OccasionInUse(Exception):
    """Users have dates of the occasion, or messages were made for it."""


class TooManyOccasions(Exception):
    """There are as many occasions as there may be."""


class ReservationLost(Exception):
    """Another request has this Idempotency-Key, or has taken it over. Nothing was done."""


class RowRefused(Exception):
    """The database refuses the values of this one row; `reason` quotes none of them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HoldRefused(Exception):
    """The hold cannot be made; `field` names the value at fault, and `reason` says what was expected.

    Without a field no value is at fault: there are too many holds.
    """

    def __init__(self, field: str | None, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason
