"""Tells answers about one message from answers about the email service.

An answer says something about one message only while the service accepts others. So an attempt is spent, and a refusal
is final, only then: an outage, a wrong key or a mistake in a text must not end the messages that meet it.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import replace

from service.domain.messages import Answer, Outcome, UnavailableReason

HEALTHY_SHARE = 0.9
"""The share of first attempts that a healthy service accepts. Below it, a failure says nothing about its message."""

WEIGHT = 0.05
"""The weight of the newest first attempt in that share: the last twenty or so decide."""


class ServiceHealth:
    """Judges the answers of one node. Times are seconds of any steady clock.

    While the service accepts no message, at most `refusals` refusals count as final; further ones are transient.
    """

    def __init__(self, refusals: int) -> None:
        self._most_refusals = refusals
        self._refusals = 0
        self._accepted_at = -math.inf
        self._share = 1.0
        self._reasons: deque[UnavailableReason] = deque(maxlen=refusals)

    @property
    def reason(self) -> UnavailableReason | None:
        """The most frequent reason among the latest failures; None when the last call was accepted."""
        return Counter(self._reasons).most_common(1)[0][0] if self._reasons else None

    @property
    def latest_reason(self) -> UnavailableReason | None:
        """The reason of the latest failure; None when the last call was accepted."""
        return self._reasons[-1] if self._reasons else None

    def judge(self, answer: Answer, *, began: float, last_attempt: float | None, at: float) -> Answer:
        """Return the answer, changed where it says nothing about its message: not `spent`, and no permanent failure.

        The call began at `began` and was answered at `at`. The previous attempt at the message ended at `last_attempt`,
        None without one.
        """
        if answer.throttled:
            return replace(answer, spent=False)
        if answer.outcome is Outcome.ACCEPTED:
            self._refusals, self._accepted_at = 0, at
            self._reasons.clear()
        else:
            self._reasons.append(reason_of(answer))
        if answer.outcome is Outcome.PERMANENT_FAILURE:
            self._refusals += 1
            if self._refusals > self._most_refusals:
                return replace(answer, outcome=Outcome.TRANSIENT_FAILURE, spent=False)
            return answer
        if last_attempt is None:
            # Only first attempts count: a message that fails for its own reasons would otherwise count many times.
            self._share += WEIGHT * ((answer.outcome is Outcome.ACCEPTED) - self._share)
        if answer.outcome is Outcome.ACCEPTED:
            return answer
        since = began if last_attempt is None else last_attempt
        return replace(answer, spent=self._accepted_at > since and self._share >= HEALTHY_SHARE)


def reason_of(answer: Answer) -> UnavailableReason:
    """Return the reason for which the service did not accept a message."""
    if answer.unavailable is not None:
        return answer.unavailable
    match answer.status_code:
        case None:
            slow = answer.timed_out and answer.outcome is Outcome.UNKNOWN
            return UnavailableReason.TOO_SLOW if slow else UnavailableReason.UNREACHABLE
        case 401 | 403 | 407:
            return UnavailableReason.NOT_AUTHORISED
        case 408 | 504:
            return UnavailableReason.TOO_SLOW
        case _:
            return UnavailableReason.REFUSING
