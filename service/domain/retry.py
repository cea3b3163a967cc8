"""Decides what follows an attempt: the next state of the message, and when the next attempt is due.

Delays grow exponentially with full jitter (each is uniform between zero and the bound), so that messages that failed
together do not come back together: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from service.domain.messages import Answer, Outcome, Status


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of attempts that may be spent and the delays between them.

    `hold`: a message of unknown outcome waits for a person, as `HEYDAY_UNKNOWN_OUTCOME` says. `key_lasts`: how long the
    service remembers an Idempotency-Key; a message of unknown outcome is not called again later than that.
    """

    attempts: int
    base: timedelta
    limit: timedelta
    hold: bool
    key_lasts: timedelta = timedelta(hours=24)

    def bound(self, made: int) -> timedelta:
        """The longest wait after `made` attempts: base, twice that, four times, … up to the limit."""
        enough = self.limit // self.base + 1  # enough to reach the limit; a timedelta cannot hold much more
        return min(self.limit, self.base * min(1 << min(made - 1, 30), enough))


@dataclass(frozen=True, slots=True)
class History:
    """The earlier attempts at a message since it was last redriven.

    `made` counts all of them, `spent` those that count against the budget. `unknown_for` is the time since the first
    attempt of unknown outcome, None without one. `last_ago` is the time since the latest attempt ended, in seconds.
    """

    made: int = 0
    spent: int = 0
    unknown_for: timedelta | None = None
    last_ago: float | None = None


FIRST = History()
"""The history of a message that was never tried."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """The state to move to and, for retrying, how long until the next attempt."""

    status: Status
    delay: timedelta = timedelta()


def next_step(answer: Answer, history: History, policy: RetryPolicy, random: Callable[[], float]) -> NextStep:
    """Return what follows `answer`. `random` is uniform in [0, 1).

    The wait is never shorter than the Retry-After of the service. A message with an attempt of unknown outcome never
    ends as failed: it may have been delivered.
    """
    in_doubt = answer.outcome is Outcome.UNKNOWN or history.unknown_for is not None
    given_up = NextStep(Status.UNKNOWN if in_doubt else Status.FAILED)
    match answer.outcome:
        case Outcome.ACCEPTED:
            return NextStep(Status.SENT)
        case Outcome.PERMANENT_FAILURE:
            return given_up
        case Outcome.UNKNOWN if policy.hold:
            return NextStep(Status.UNKNOWN)
    if answer.spent and history.spent + 1 >= policy.attempts:
        return given_up
    # A throttled message waits for its turn under the common rate, so its own delay does not grow.
    bound = policy.base if answer.throttled else policy.bound(history.made + 1)
    delay = bound * random() + (answer.retry_after or timedelta())
    if in_doubt and (history.unknown_for or timedelta()) + delay >= policy.key_lasts:
        return given_up
    return NextStep(Status.RETRYING, delay)


def may_call(history: History, policy: RetryPolicy) -> bool:
    """True if the service still remembers the key of a message whose outcome is unknown."""
    return history.unknown_for is None or history.unknown_for < policy.key_lasts


class RetryReason(StrEnum):
    """The reason for another attempt; the values are those of `messages_retried_total`."""

    NO_CONNECTION = "no_connection"
    """Not one byte of the request was written."""
    NO_ANSWER = "no_answer"
    """It was written, and no answer came."""
    SLOW_DOWN = "slow_down"
    """429, or 503 with Retry-After: the service asks for fewer calls."""
    SERVER_ERROR = "server_error"
    """5xx."""
    OTHER_ANSWER = "other_answer"
    """401, 404, 408, 409, 425, a redirect, or another such answer; a refusal while the service accepts no message."""
    NOT_ATTEMPTED = "not_attempted"
    """It was claimed, but nothing was sent: the circuit had opened, or the node had lost its lease."""


def retry_reason(answer: Answer | None) -> RetryReason:
    """The reason for another attempt after that answer; None: no attempt was made."""
    if answer is None:
        return RetryReason.NOT_ATTEMPTED
    if answer.status_code is None:
        return RetryReason.NO_ANSWER if answer.outcome is Outcome.UNKNOWN else RetryReason.NO_CONNECTION
    if answer.throttled:
        return RetryReason.SLOW_DOWN
    return RetryReason.SERVER_ERROR if answer.status_code >= 500 else RetryReason.OTHER_ANSWER
