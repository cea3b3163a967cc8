"""A steady clock that a test moves."""

from __future__ import annotations


class Steady:
    """Seconds that pass only when a test lets them."""

    def __init__(self, at: float = 1_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def passes(self, seconds: float) -> None:
        """Let this many seconds pass."""
        self.at += seconds
