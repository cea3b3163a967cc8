"""What follows an attempt: sent, failed, unknown, or another attempt and when.

Delays grow exponentially with full jitter (each is uniform between zero and the bound), so that what failed together
does not come back together: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from service.domain.messages import Answer, Outcome, Status


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently to try; `hold`: an unknown outcome waits for a person."""

    attempts: int
    base: timedelta
    limit: timedelta
    hold: bool

    def bound(self, spent: int) -> timedelta:
        """The longest wait after `spent` attempts: base, twice that, four times, … up to the limit."""
        enough = self.limit // self.base + 1  # to reach the limit; times more may be longer than a timedelta can be
        return min(self.limit, self.base * min(1 << min(spent - 1, 30), enough))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state to move to and, for retrying, how long until the next attempt."""

    status: Status
    delay: timedelta = timedelta()


def verdict(answer: Answer, spent: int, policy: RetryPolicy, random: Callable[[], float]) -> Verdict:
    """What follows `answer` when `spent` attempts, this one included, were made. `random` is uniform in [0, 1).

    A Retry-After of the service is honoured: the wait is never shorter.
    """
    match answer.outcome:
        case Outcome.ACCEPTED:
            return Verdict(Status.SENT)
        case Outcome.REFUSED:
            return Verdict(Status.FAILED)
        case Outcome.UNKNOWN if policy.hold:
            return Verdict(Status.UNKNOWN)
        case Outcome.UNKNOWN | Outcome.REJECTED if spent >= policy.attempts:
            return Verdict(Status.FAILED)
        case Outcome.UNKNOWN | Outcome.REJECTED:
            return Verdict(Status.RETRYING, policy.bound(spent) * random() + (answer.retry_after or timedelta()))


class Cause(StrEnum):
    """Why a message is tried again; the values are those of `messages_retried_total`."""

    NO_CONNECTION = "no_connection"
    """Not one byte of the request was written."""
    NO_ANSWER = "no_answer"
    """It was written, and no answer came."""
    SLOW_DOWN = "slow_down"
    """429: the service asked for patience."""
    SERVER_ERROR = "server_error"
    """5xx."""
    OTHER_ANSWER = "other_answer"
    """Another answer that is no end: 408, 409, 425, a redirect."""
    NOT_ATTEMPTED = "not_attempted"
    """It was claimed and nothing was sent: the circuit had opened, or the node might not act any more."""


def cause(answer: Answer | None) -> Cause:
    """Why a message with that answer is tried again; None: no attempt was made."""
    if answer is None:
        return Cause.NOT_ATTEMPTED
    if answer.status_code is None:
        return Cause.NO_ANSWER if answer.outcome is Outcome.UNKNOWN else Cause.NO_CONNECTION
    if answer.status_code == 429:
        return Cause.SLOW_DOWN
    return Cause.SERVER_ERROR if answer.status_code >= 500 else Cause.OTHER_ANSWER
