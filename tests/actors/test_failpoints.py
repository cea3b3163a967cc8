"""A failpoint ends the process at once, as a crash does."""

from __future__ import annotations

import signal
import subprocess
import sys

SCRIPT = """
import atexit, sys
from actors.failpoints import Failpoint, crash_at

atexit.register(print, "cleaned up", flush=True)
hook = crash_at(Failpoint.RECORDED, {times})
for failpoint in (Failpoint.CLAIMED, Failpoint.RECORDED, Failpoint.ACKNOWLEDGED, Failpoint.RECORDED):
    try:
        hook(failpoint)
        print(failpoint, flush=True)
    finally:
        sys.stdout.flush()
"""


def died(times: int) -> tuple[int, list[str]]:
    """The exit code and output of a process with this failpoint."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(times=times)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.split("\n")[:-1]


def test_it_dies_at_the_failpoint_without_a_cleanup() -> None:
    """Like kill -9: a cleanup would hide what a crash leaves behind."""
    assert died(1) == (-signal.SIGKILL, ["claimed"])


def test_it_dies_at_the_requested_time() -> None:
    """It dies the second time. Other failpoints do not count."""
    assert died(2) == (-signal.SIGKILL, ["claimed", "recorded", "acknowledged"])


def test_it_lives_if_the_failpoint_is_not_reached_so_often() -> None:
    """A failpoint that was not reached is visible in the exit code."""
    assert died(3) == (0, ["claimed", "recorded", "acknowledged", "recorded", "cleaned up"])
