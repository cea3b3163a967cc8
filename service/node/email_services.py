"""The email services of a node, and the one that a message goes to.

The fallback service takes over while the circuit of the primary one is not closed. The claim of a message names its
service before the call, so what one of them may have taken never goes to the other:
docs/explanation/fallback_service.md.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from service.domain.messages import EmailServiceName, Status
from service.domain.retry import NextStep, RetryPolicy
from service.ports import CircuitState, Claimed, EmailService, RateLimit

NOT_SENT = NextStep(Status.RETRYING)
"""The next step when no attempt was made: the message is due again, and none is spent."""

TRIAL_PATIENCE = 5.0
"""Seconds that a trial of the primary service is kept for a message that only it may get. A message that is tried there
first may be in doubt afterwards, and then has to wait for it, too."""


@dataclass(frozen=True)
class EmailPath:
    """One email service with its rate, and the policy for an attempt there."""

    email: EmailService
    rate: RateLimit
    policy: RetryPolicy


class EmailServices:
    """The primary service and, if there is one, the fallback.

    A message that only an absent service may get waits for `put_off`. `steady` measures seconds.
    """

    def __init__(
        self,
        primary: EmailPath,
        fallback: EmailPath | None = None,
        *,
        put_off: timedelta = timedelta(seconds=15),
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.primary = primary
        self.fallback = fallback
        self._put_off = put_off
        self._steady = steady
        self._trial_is_kept_until = float("-inf")

    @property
    def circuit(self) -> CircuitState:
        """The state of the circuit of the service that messages go to. It is open while no call can be made."""
        return self._preferred_path.email.circuit

    @property
    def preferred(self) -> EmailServiceName:
        """The service for messages that may go to either."""
        if self.fallback is None or self.primary.email.circuit is CircuitState.CLOSED:
            return EmailServiceName.PRIMARY
        return (
            EmailServiceName.PRIMARY if self.fallback.email.circuit is CircuitState.OPEN else EmailServiceName.FALLBACK
        )

    def path(self, service: EmailServiceName) -> EmailPath | None:
        """The way to a service. None if this node has no such service."""
        return self.primary if service is EmailServiceName.PRIMARY else self.fallback

    @property
    def paused(self) -> bool:
        """True while the service that messages go to asks for no call at all, as this node knows."""
        return self._preferred_path.rate.per_second == 0

    @property
    def _preferred_path(self) -> EmailPath:
        path = self.path(self.preferred)
        assert path is not None  # noqa: S101 - the preferred one is there
        return path

    async def admits(self, *, within: float) -> bool:
        """Wait up to `within` seconds until one of the circuits is not open. False if all are still open."""
        if self.circuit is not CircuitState.OPEN:
            return True
        return await self.primary.email.admits(within=within) or self.circuit is not CircuitState.OPEN

    def for_fallback(self, ids: Sequence[UUID]) -> Sequence[UUID]:
        """Return those of `ids` to claim for the fallback service.

        While the circuit of the primary service is half open, one message is its trial.
        """
        if self.preferred is EmailServiceName.PRIMARY:
            return ()
        return ids[1:] if self.primary.email.wants_trial and self._steady() >= self._trial_is_kept_until else ids

    def waits_for_trial(self, service: EmailServiceName) -> bool:
        """True if a message may wait for the result of a trial of `service`, because the other service takes none."""
        return service is not EmailServiceName.PRIMARY or self.preferred is EmailServiceName.PRIMARY

    def not_sent(self, claimed: Claimed) -> NextStep:
        """The next step of a message that could not be sent.

        A message that only an absent service may get is put off. Otherwise it would return at once, again and again.
        """
        service = claimed.claim.service
        if self.path(service) is not None and (self.fallback is None or not claimed.pinned):
            return NOT_SENT
        seconds = self._put_off.total_seconds()
        if service is EmailServiceName.PRIMARY:
            self._trial_is_kept_until = self._steady() + seconds + TRIAL_PATIENCE
        # Not earlier: a circuit that has opened just now is half open after as long. Not all at one instant.
        return NextStep(Status.RETRYING, self._put_off * (1 + random.random() / 10))  # noqa: S311 - no secret
