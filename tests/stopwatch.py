"""Measures promises in seconds on a machine that may be busy."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

LEAST_SHARE = 0.1
"""The part of the processors that a process gets while others wait for them, too."""


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
        """Return the seconds in which no process waited: at least a tenth of all, so that a bound can be exceeded.

        On a machine with tests on every processor, some process waits nearly always, but each gets its share.
        """
        elapsed = self.elapsed()
        return max(elapsed - self.starved(), elapsed * LEAST_SHARE)


def _starved() -> float:
    with suppress(OSError):
        some = Path("/proc/pressure/cpu").read_text(encoding="ascii").splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1e6
    return 0.0
