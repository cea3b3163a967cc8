"""Causes each alert, follows its section of the runbook literally, and prints the times:

    python -m loadtest.rehearsal [ALERT ...] [--factor 60]

Two nodes and private servers run on loopback, with a real Prometheus and the rules of deploy/alerts. Each `for` and
each window of the rules is divided by `--factor`; thresholds are not. Each section's commands run as the page prints
them, and a command that fails fails the rehearsal. The program also does the section's steps outside heyday, such as
starting a server. Alerts that cannot be caused here are named. It prints a Markdown table. The exit code is 1 if an
alert did not fire, or did not end, or if none could be caused. It needs `prometheus` on the PATH, and RabbitMQ.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from loadtest.rehearsal.cases import CASES, NOT_REHEARSED, Case, names
from loadtest.rehearsal.runbook import alerts, first_look, section
from loadtest.rehearsal.scene import CommandFailed, Scene, scene
from loadtest.servers import be_cancelled_by_signals

QUIET_WITHIN = 480.0
"""Seconds after the last cause until every alert must be quiet: the window of six hours, divided, and some more.

Greetings that leave late in a later case keep the alerts about lateness of an earlier one firing.
"""


AFTERMATH_WITHIN = 60.0
"""Seconds after the repair until an alert about its consequences must fire."""


@dataclass(slots=True)
class Row:
    """One alert of the table. Times are in seconds."""

    alert: str
    case: Case
    caused_at: float
    fired_at: float | None = None
    began_at: float | None = None
    """When its section was opened."""
    quiet_at: float | None = None
    commands: list[str] = field(default_factory=list)
    problem: str = ""

    def line(self) -> str:
        """Return it as a line of the table."""
        after = self.alert in self.case.aftermath
        by_hand = "" if after else self.case.repaired
        done = "; ".join([*(f"`{one}`" for one in self.commands), *filter(None, [by_hand])]) or "–"
        fired = _seconds(self.caused_at, self.fired_at)
        cause = "late greetings leave once that is repaired" if after else self.case.cause
        return f"| {self.alert} | {cause} | {fired} | {done} | {_seconds(self.began_at, self.quiet_at)} |"


def _seconds(since: float | None, until: float | None) -> str:
    return "–" if since is None or until is None else f"{until - since:.0f}"


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def rehearse(case: Case, of: Scene) -> list[Row]:
    """Cause the alerts of a case, and follow their sections. Returns when everything is done, not when it is quiet."""
    stale = [one for one in names(case) if await of.until(one, fires=False, within=QUIET_WITHIN) is None]
    rows = [Row(alert, case, time.time()) for alert in case.alerts]
    await case.begin(of)
    for row in rows:
        row.fired_at = await of.until(row.alert, fires=True, within=row.caused_at + case.within - time.time())
        if row.fired_at is None or row.alert in stale:
            row.problem = f"{row.alert} did not fire within {case.within:g} s, or fired before it was caused"
    opened = time.time()
    for row in rows:
        row.began_at = opened
        for command in first_look(row.alert):
            await _follow(of, command, row)
    repaired = time.time()
    await case.repair(of)
    values = list(case.values())
    for command in case.do:
        filled = command
        while "…" in filled:
            filled = filled.replace("…", values.pop(0), 1)
        named = [row for row in rows if command in section(row.alert)]
        await _follow(of, filled, named[-1], shown=command)
    for alert in case.aftermath:
        rows.append(row := Row(alert, case, repaired))
        row.fired_at = row.began_at = await of.until(alert, fires=True, within=AFTERMATH_WITHIN)
        if row.fired_at is None or alert in stale:
            row.problem = f"{alert} did not fire after the repair, or fired before it"
        for command in first_look(alert):
            await _follow(of, command, row)
    return rows


async def _follow(of: Scene, command: str, row: Row, *, shown: str = "") -> None:
    row.commands.append(shown or command)
    try:
        await of.follow(command)
    except (CommandFailed, TimeoutError) as failure:
        row.problem = row.problem or str(failure) or f"{command} did not end"


async def run(executable: Path, wanted: list[str], factor: float, folder: Path) -> bool:
    """Rehearse, print the table, and return True if all went well."""
    be_cancelled_by_signals()
    rows: list[Row] = []
    async with scene(executable, folder, factor=factor) as of:
        columns = ("alert", "cause", "fires after, s", "commands of its section, and what was done", "quiet after, s")
        say(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
        waiting: list[asyncio.Future[None]] = []
        last_cause = asyncio.Event()
        for case in CASES:
            if set(names(case)).isdisjoint(wanted) or case.most_factor < factor:
                continue
            done = await rehearse(case, of)
            rows += done
            waiting += [asyncio.ensure_future(_until_quiet(of, row, last_cause)) for row in done]
        last_cause.set()
        await asyncio.gather(*waiting)
    for alert in alerts():
        if alert in wanted and alert not in {row.alert for row in rows}:
            why = NOT_REHEARSED.get(alert) or "it needs a smaller --factor"
            say(f"| {alert} | not rehearsed: {why} | | | |")
    problems = [row.problem for row in rows if row.problem]
    for problem in problems:
        say(f"\n{problem}")
    return bool(rows) and not problems


async def _until_quiet(of: Scene, row: Row, last_cause: asyncio.Event) -> None:
    if row.fired_at is not None:
        over = False
        while row.quiet_at is None and not over:
            over = last_cause.is_set()
            row.quiet_at = await of.until(row.alert, fires=False, within=QUIET_WITHIN)
        if row.quiet_at is None:
            row.problem = row.problem or f"{row.alert} still fires after {QUIET_WITHIN:g} s"
    say(row.line())


def main() -> int:
    """Read the arguments, rehearse, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alerts", nargs="*", metavar="ALERT", help="names of alerts (all)")
    parser.add_argument("--factor", type=float, default=60.0, help="divisor of the rules' durations (%(default)g)")
    args = parser.parse_args()
    if unknown := sorted(set(args.alerts) - set(alerts())):
        parser.error(f"no such alert: {', '.join(unknown)}")
    executable = shutil.which("prometheus")
    if executable is None:
        parser.error("prometheus is not on the PATH (on Debian: apt-get install prometheus)")
    with tempfile.TemporaryDirectory(prefix="heyday-rehearsal-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - the servers' account must reach it
        return 0 if uvloop.run(run(Path(executable), args.alerts or alerts(), args.factor, Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
