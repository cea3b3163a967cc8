"""How those who can do without Redis for a while do without it: they ask seldom, and say so once."""

from __future__ import annotations

import math
from collections.abc import Callable

import structlog

AWAY_FOR = 2.0
"""Seconds for which Redis is not asked again after it did not answer: each question would cost its deadline."""

log = structlog.get_logger(__name__)


class Absence:
    """Whether `what` goes by Redis now. The log has a line when it begins to do without, and one when that is over."""

    def __init__(self, what: str, *, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._ask_again_at = -math.inf
        self._since: float | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it is too soon to ask Redis again."""
        return self._clock() < self._ask_again_at

    def met(self, reason: str) -> None:
        """Redis was asked and did not answer."""
        now = self._clock()
        self._ask_again_at = now + AWAY_FOR
        if self._since is None:
            self._since = now
            log.warning("does_without_redis", what=self._what, reason=reason)

    def over(self) -> None:
        """Redis has answered."""
        if self._since is not None:
            log.info("goes_by_redis_again", what=self._what, seconds=round(self._clock() - self._since, 3))
            self._since, self._ask_again_at = None, -math.inf
