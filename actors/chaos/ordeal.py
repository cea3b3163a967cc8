"""One fault from its begin to recovery, with a stop-watch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

from actors.chaos.faults import Fault
from actors.chaos.stage import Stage
from service.email_stub import Ledger
from service.embedded.errors import ServerFailed

RECOVER_WITHIN = 150.0
"""Seconds after which heyday has not recovered. What was lost from a queue is missed after 90 s, on purpose."""


@dataclass(frozen=True, slots=True)
class Ordeal:
    """What a fault did. Durations are in seconds.

    `recovered` counts from its end to recovery, and is None when that did not come; `pause` is the longest time without
    an accepted greeting from its begin to recovery; `left`: messages that had not ended when it began.
    """

    name: str
    hit: str
    began_at: float
    lasted: float
    recovered: float | None
    pause: float
    left: int
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether heyday got over it, and nothing went wrong with it."""
        return self.recovered is not None and not self.problems


async def undergo(fault: Fault, stage: Stage, *, left: int) -> Ordeal:
    """Cause the fault, end it, wait for recovery, and tidy up. Raises EmbeddedError when a server does not return."""
    began_at, began = time.time(), time.monotonic()
    hit = await fault.strike(stage)
    ended_at, ended = time.time(), time.monotonic()
    problems = list(fault.problems)
    recovered = None
    if await stage.until(lambda: fault.over(stage, ended_at), within=RECOVER_WITHIN):
        recovered = time.monotonic() - ended
    pause = longest_pause(stage.stub.ledger, began_at, time.time())
    try:
        await fault.tidy(stage)
    except ServerFailed as failed:
        problems.append(str(failed))
    return Ordeal(fault.name, hit, began_at, ended - began, recovered, pause, left, tuple(problems))


def longest_pause(ledger: Ledger, since: float, until: float) -> float:
    """The longest time in which nothing was accepted between two instants, in seconds since the epoch."""
    times = [one.at / 1000 for block in ledger.acceptances() for one in block if since <= one.at / 1000 <= until]
    marks = [since, *times, until]
    return max(later - earlier for earlier, later in pairwise(marks))
