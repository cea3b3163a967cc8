"""The life of a message: its states, the moves between them, and what an attempt to send it came to.

The same picture is drawn in docs/explanation/message_states.md and enforced by CHECK constraints in schema/.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Status(StrEnum):
    """The state of a message; the values are those of the database, of JSON and of metrics."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    RETRYING = "retrying"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


UNSENT = frozenset({Status.SCHEDULED, Status.QUEUED, Status.RETRYING})
"""States in which a message has no attempt under way and may still be moved, cancelled or sent."""

REDRIVABLE = frozenset({Status.FAILED, Status.UNKNOWN, Status.EXPIRED})
"""Ends from which a person may send a message again."""

MOVES: dict[Status, frozenset[Status]] = {
    # A recovered claim goes one hop back: queued to scheduled, or to retrying once attempts were made.
    # Whatever is due in a restored database may have been sent after the backup: adopting it makes that unknown.
    # And wherever a message is by now, that an attempt was accepted may still turn out: then it is sent.
    Status.SCHEDULED: frozenset({Status.QUEUED, Status.CANCELLED, Status.EXPIRED, Status.UNKNOWN, Status.SENT}),
    Status.QUEUED: frozenset(
        {Status.SENDING, Status.SCHEDULED, Status.RETRYING, Status.CANCELLED, Status.UNKNOWN, Status.SENT}
    ),
    # An attempt that did not succeed is followed by another, unless its user was edited or deleted meanwhile.
    Status.SENDING: frozenset(
        {Status.SENT, Status.RETRYING, Status.FAILED, Status.UNKNOWN, Status.SCHEDULED, Status.CANCELLED}
    ),
    Status.RETRYING: frozenset(
        {Status.QUEUED, Status.SCHEDULED, Status.CANCELLED, Status.EXPIRED, Status.UNKNOWN, Status.SENT}
    ),
    Status.SENT: frozenset(),
    Status.FAILED: frozenset({Status.SCHEDULED, Status.SENT}),
    # The email service's ledger may know what nobody here did.
    Status.UNKNOWN: frozenset({Status.SCHEDULED, Status.SENT}),
    # A day that was removed, or had passed, may be put back into the future by an edit, or redriven.
    Status.CANCELLED: frozenset({Status.SCHEDULED, Status.SENT}),
    Status.EXPIRED: frozenset({Status.SCHEDULED, Status.SENT}),
}
"""Every legal move; the compare-and-set of each SQL statement names the states that it moves from."""


class Outcome(StrEnum):
    """What one attempt came to, as far as anybody knows; the values are those of `attempts.outcome`."""

    ACCEPTED = "accepted"
    """The service answered 2xx."""
    REFUSED = "refused"
    """The service will never take this message: 400, 401, 403, 404, 422."""
    REJECTED = "rejected"
    """The service did not take it now: 408, 429, 5xx, or no connection was made."""
    UNKNOWN = "unknown"
    """The request was written and no answer came: it may or may not have been accepted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one attempt; `called` is false where the result was known without a call.

    `duration` is in seconds, `status_code` is the HTTP status if one was received, `error` is a short
    description without personal data, `retry_after` is what the service asked for.
    """

    outcome: Outcome
    duration: float
    status_code: int | None = None
    error: str | None = None
    retry_after: timedelta | None = None
    called: bool = True
