"""Runs one fault, measures it, and waits until heyday has recovered."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from actors.commands.chaos.environment import Environment
from actors.commands.chaos.faults import Fault, NoEffect
from actors.commands.sandbox.email_stub import Ledger
from actors.commands.sandbox.servers.errors import ServerFailed


@dataclass(frozen=True, slots=True)
class FaultRun:
    """The effect of a fault. Durations are in seconds.

    `recovered` is the time from its end to recovery, None without recovery. `pause` is the longest time without an
    accepted greeting, from its begin to recovery. `left` is the number of messages that had not ended when it began.
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
        """True if heyday recovered and did nothing wrong."""
        return self.recovered is not None and not self.problems

    def as_json(self) -> dict[str, Any]:
        """The fault run as JSON."""
        found = asdict(self)
        return {"beganAt": found.pop("began_at"), **found}


async def run_fault(fault: Fault, environment: Environment, *, left: int) -> FaultRun:
    """Inject the fault, wait for recovery, clean up. Raises NoEffect, EmbeddedError if a server does not come back."""
    ended_before = [slot.node_id for slot in environment.fleet.slots if not slot.running]
    fault.problems += [f"{node} had ended by itself" for node in ended_before]
    began_at, began = time.time(), time.monotonic()
    try:
        hit = await fault.inject(environment)
    except NoEffect:
        await fault.cleanup(environment)
        raise
    ended_at, ended = time.time(), time.monotonic()
    recovered = None
    if await environment.until(lambda: fault.recovered(environment, ended_at), within=fault.recovery_timeout):
        recovered = time.monotonic() - ended
    pause = longest_pause(environment.stub.ledger, began_at, time.time())
    try:
        await fault.cleanup(environment)
    except ServerFailed as failed:
        fault.problems.append(str(failed))
    return FaultRun(fault.name, hit, began_at, ended - began, recovered, pause, left, tuple(fault.problems))


def longest_pause(ledger: Ledger, since: float, until: float) -> float:
    """The longest time without an acceptance between two instants, which are in seconds since the epoch."""
    times = [one.at / 1000 for block in ledger.acceptances() for one in block if since <= one.at / 1000 <= until]
    marks = [since, *times, until]
    return max(later - earlier for earlier, later in pairwise(marks))
