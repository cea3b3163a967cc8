"""A rehearsed crash is a crash: nothing of the process goes on."""

from __future__ import annotations

import signal
import subprocess
import sys

SCRIPT = """
import atexit, sys
from actors.facts import Fact, die_after

atexit.register(print, "said goodbye", flush=True)
witness = die_after(Fact.RECORDED, {times})
for fact in (Fact.CLAIMED, Fact.RECORDED, Fact.ACKNOWLEDGED, Fact.RECORDED):
    try:
        witness(fact)
        print(fact, flush=True)
    finally:
        sys.stdout.flush()
"""


def died(times: int) -> tuple[int, list[str]]:
    """The exit code and the words of a process that was to die when the fact was left for that time."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(times=times)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.split("\n")[:-1]


def test_it_dies_right_after_the_fact_without_a_goodbye() -> None:
    """As by kill -9: what tidies up would hide what a crash leaves behind."""
    assert died(1) == (-signal.SIGKILL, ["claimed"])


def test_it_dies_at_the_time_that_was_asked_for() -> None:
    """The second time, and other facts do not count."""
    assert died(2) == (-signal.SIGKILL, ["claimed", "recorded", "acknowledged"])


def test_it_lives_if_the_fact_is_not_left_so_often() -> None:
    """A rehearsal that did not happen is seen as such."""
    assert died(3) == (0, ["claimed", "recorded", "acknowledged", "recorded", "said goodbye"])
