"""The fallback without Redis, for the parts of a node that can work without it."""

from __future__ import annotations

import math
from collections.abc import Callable

import structlog

PAUSE_AFTER_FAILURE = 2.0
"""Seconds until Redis is asked again after it did not answer. Each question costs its deadline."""

log = structlog.get_logger(__name__)


class RedisFallback:
    """The state of `what`: it uses Redis, or works without it. The start and the end of a fallback are logged once."""

    def __init__(self, what: str, *, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._ask_again_at = -math.inf
        self._since: float | None = None

    @property
    def active(self) -> bool:
        """True while it is too early to ask Redis again."""
        return self._clock() < self._ask_again_at

    def started(self, reason: str) -> None:
        """Note that Redis did not answer."""
        now = self._clock()
        self._ask_again_at = now + PAUSE_AFTER_FAILURE
        if self._since is None:
            self._since = now
            log.warning("redis_fallback_started", what=self._what, reason=reason)

    def ended(self) -> None:
        """Note that Redis answered."""
        if self._since is not None:
            log.info("redis_fallback_ended", what=self._what, seconds=round(self._clock() - self._since, 3))
            self._since, self._ask_again_at = None, -math.inf
