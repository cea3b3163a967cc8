"""Measures promises in seconds on a machine that may be busy."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path


class Stopwatch:
    """The time since it was made, and the part in which a process of this machine waited for a processor.

    What heyday promises in seconds, it promises on a machine that has the processors for it. Linux counts the rest.
    """

    def __init__(self) -> None:
        self._began, self._starved = time.monotonic(), _starved()

    def elapsed(self) -> float:
        """Return the seconds that have passed."""
        return time.monotonic() - self._began

    def starved(self) -> float:
        """Return the seconds of them in which some process waited for a processor; 0 where the system counts none."""
        return _starved() - self._starved

    def seconds(self) -> float:
        """Return the seconds in which no process waited."""
        return self.elapsed() - self.starved()


def _starved() -> float:
    with suppress(OSError):
        some = Path("/proc/pressure/cpu").read_text(encoding="ascii").splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1e6
    return 0.0
