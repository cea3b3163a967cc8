"""The states of a message, the moves between them, and the outcomes of its attempts.

docs/explanation/message_states.md draws the same states. CHECK constraints in schema/ enforce them.
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

OPEN = UNSENT | {Status.SENDING}
"""States of a message that has not ended."""

REDRIVABLE = frozenset({Status.FAILED, Status.UNKNOWN, Status.EXPIRED})
"""Ends from which a person may send a message again."""

MOVES: dict[Status, frozenset[Status]] = {
    # A recovered claim goes one hop back: from queued to scheduled, or to retrying after an attempt. A message that is
    # due in a restored database may have been sent after the backup, so adoption makes it unknown. A late acceptance
    # makes a message in any state sent.
    Status.SCHEDULED: frozenset({Status.QUEUED, Status.CANCELLED, Status.EXPIRED, Status.UNKNOWN, Status.SENT}),
    Status.QUEUED: frozenset(
        {Status.SENDING, Status.SCHEDULED, Status.RETRYING, Status.CANCELLED, Status.UNKNOWN, Status.SENT}
    ),
    # Another attempt follows a failed one, unless the user was edited or deleted meanwhile.
    Status.SENDING: frozenset(
        {Status.SENT, Status.RETRYING, Status.FAILED, Status.UNKNOWN, Status.SCHEDULED, Status.CANCELLED}
    ),
    Status.RETRYING: frozenset(
        {Status.QUEUED, Status.SCHEDULED, Status.CANCELLED, Status.EXPIRED, Status.UNKNOWN, Status.SENT}
    ),
    Status.SENT: frozenset(),
    Status.FAILED: frozenset({Status.SCHEDULED, Status.SENT}),
    # The email service's ledger may have an acceptance that is not recorded here.
    Status.UNKNOWN: frozenset({Status.SCHEDULED, Status.SENT}),
    # An edit may put a removed or past day into the future, or an operator may redrive it.
    Status.CANCELLED: frozenset({Status.SCHEDULED, Status.SENT}),
    Status.EXPIRED: frozenset({Status.SCHEDULED, Status.SENT}),
}
"""Every legal move; the compare-and-set of each SQL statement names the states that it moves from."""


class Outcome(StrEnum):
    """The outcome of one attempt, as far as it is known; the values are those of `attempts.outcome`."""

    ACCEPTED = "accepted"
    """The service answered 2xx."""
    PERMANENT_FAILURE = "permanent_failure"
    """The service refuses this message, while it accepts others."""
    TRANSIENT_FAILURE = "transient_failure"
    """The service did not take the message, and the answer is about the service, its URL or our credentials."""
    UNKNOWN = "unknown"
    """The request was written and no answer came: it may or may not have been accepted."""


class EmailServiceName(StrEnum):
    """One of the two email services; the values are those of `attempts.service` and `messages.service`."""

    PRIMARY = "primary"
    """The service at HEYDAY_EMAIL_URL."""
    FALLBACK = "fallback"
    """The service at HEYDAY_EMAIL_FALLBACK_URL."""


class UnavailableReason(StrEnum):
    """The reason why the service accepts no message; the values are those of `email_service_state`."""

    REFUSING = "refusing"
    UNREACHABLE = "unreachable"
    TOO_SLOW = "too slow"
    NOT_AUTHORISED = "not authorised"


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one attempt; `called` is false where the result was known without a call.

    `duration` is in seconds, `status_code` is the HTTP status if one was received. `error` is a short description
    without personal data. `throttled`: the service asks for fewer calls, for `retry_after` if it says how long.
    `timed_out`: the call took longer than it may. `spent`: the attempt counts against the budget of the message.
    `provider_id` is the service's own id of an accepted message. `unavailable` is the reason why the service took
    nothing, where the status code does not tell. `in_doubt`: the service answered, and the answer does not rule out
    that it took the message.
    """

    outcome: Outcome
    duration: float
    status_code: int | None = None
    error: str | None = None
    retry_after: timedelta | None = None
    called: bool = True
    throttled: bool = False
    timed_out: bool = False
    spent: bool = True
    provider_id: str | None = None
    unavailable: UnavailableReason | None = None
    in_doubt: bool = False
