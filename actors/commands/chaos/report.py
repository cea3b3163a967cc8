"""The result as text: a line for each fault, then the recovery times, then the verdict."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table

from actors.commands.chaos.fault_run import FaultRun
from actors.commands.chaos.faults import KINDS
from actors.commands.chaos.result import RehearsalResult
from actors.commands.rehearsal.figure_table import FigureTable

NAME_WIDTH = max(map(len, KINDS))


def line_of(fault_run: FaultRun) -> str:
    """One fault in one line."""
    at = datetime.fromtimestamp(fault_run.began_at).astimezone()
    recovered = "NOT RECOVERED" if fault_run.recovered is None else f"recovered in {fault_run.recovered:4.1f} s"
    problems = "".join(f"; {problem}" for problem in fault_run.problems)
    return (
        f" {at:%H:%M:%S}  {fault_run.name:<{NAME_WIDTH}}  {recovered}   "
        f"left {fault_run.left:>6}   pause {fault_run.pause:4.1f} s   {fault_run.hit}{problems}"
    )


def summary(result: RehearsalResult) -> Table:
    """The figures of the verdict, each with its meaning."""
    verdict = result.verdict
    figures = FigureTable()
    add = figures.add
    add("planned", verdict.planned, f"in {result.zones} time zones", must_be=result.options.greetings)
    add("accepted", verdict.accepted, "of those, by the ledger of the email service")
    lost = (
        f"unplanned {verdict.unplanned}, unsent {verdict.unsent}, failed {verdict.wrongly_failed}, "
        f"never accepted {verdict.unconfirmed}"
    )
    add("lost", verdict.lost, lost, must_be=0)
    if verdict.late:
        add("late", verdict.late, "not ended when no message ended any more", must_be=0)
    add("early", verdict.early, "begun or accepted before the instant", must_be=0)
    if verdict.refused:
        add("failed", verdict.refused, "refused by the email service before the circuit opened")
    add("twice", verdict.duplicates, "accepted again, although every outcome was known", must_be=0)
    add("not on record", verdict.unrecorded, "accepted by the email service, not recorded in the database", must_be=0)
    add("repeated calls", verdict.repeated, f"after {verdict.unknown} unknown outcomes, under the same key")
    add("retried", verdict.retried, f"{verdict.rejected} attempts were answered with an error")
    add(
        "faults",
        len(result.fault_runs),
        f"of {len({one.name for one in result.fault_runs})} kinds, in {result.seconds:.0f} s",
    )
    if result.met_nothing:
        add("met nothing", len(result.met_nothing), ", ".join(one.name for one in result.met_nothing), must_be=0)
    slow = [one for one in result.fault_runs if one.recovered is None]
    add("not recovered", len(slow), ", ".join(one.name for one in slow), must_be=0)
    if wrong := [problem for one in result.fault_runs for problem in one.problems]:
        add("problems", len(wrong), "; ".join(wrong), must_be=0)
    add("not drained", len(result.not_drained), ", ".join(result.not_drained), must_be=0)
    if result.crashes:
        add("actor crashes", result.crashes, "bugs, although the actors were restarted: see the logs", must_be=0)
    return figures.table


def recoveries(result: RehearsalResult) -> Table:
    """The recovery time of each kind of fault."""
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "right"):
        table.add_column(justify=justify)
    table.add_row(" fault", "times", "recovered within", "longest pause", style="dim")
    for name in KINDS:
        of_kind = [one for one in result.fault_runs if one.name == name]
        if of_kind:
            known = [one.recovered for one in of_kind if one.recovered is not None]
            within = f"{max(known):.1f} s" if len(known) == len(of_kind) else "never"
            table.add_row(f" {name}", str(len(of_kind)), within, f"{max(one.pause for one in of_kind):.1f} s")
    return table
