"""A finding in words: a line for each fault while it lasts, and the verdict at the end."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table
from rich.text import Text

from actors.chaos.faults import KINDS
from actors.chaos.finding import Finding
from actors.chaos.ordeal import Ordeal

NAME_WIDTH = max(map(len, KINDS))


def line_of(ordeal: Ordeal) -> str:
    """What became of a fault, in a line."""
    at = datetime.fromtimestamp(ordeal.began_at).astimezone()
    recovered = "NOT RECOVERED" if ordeal.recovered is None else f"recovered in {ordeal.recovered:4.1f} s"
    problems = "".join(f"; {problem}" for problem in ordeal.problems)
    return (
        f" {at:%H:%M:%S}  {ordeal.name:<{NAME_WIDTH}}  {recovered}   "
        f"left {ordeal.left:>6}   pause {ordeal.pause:4.1f} s   {ordeal.hit}{problems}"
    )


def summary(finding: Finding) -> Table:
    """Every figure with what it counts."""
    verdict = finding.verdict
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()

    def add(name: str, figure: int | str, note: str = "", *, must_be: int | None = None) -> None:
        style = "bold" if must_be is None else "bold green" if figure == must_be else "bold red"
        table.add_row(f" {name}", Text(str(figure), style), Text(note, "dim"))

    add("planned", verdict.planned, f"in {finding.zones} time zones", must_be=finding.options.greetings)
    add("accepted", verdict.sent - verdict.unconfirmed, "of them, by the email service's own books")
    lost = f"unplanned {verdict.unplanned}, unsent {verdict.unsent}, never accepted {verdict.unconfirmed}"
    add("lost", verdict.lost, lost, must_be=0)
    add("early", verdict.early, "begun or accepted before their instant", must_be=0)
    add("twice", verdict.duplicates, "accepted again under a key whose acceptance was known", must_be=0)
    add("not on record", verdict.unrecorded, "accepted by the service, not in the database", must_be=0)
    add("repeated calls", verdict.repeated, f"after {verdict.unknown} unknown outcomes, under the same key")
    add("retried", verdict.retried, f"{verdict.rejected} attempts were answered with an error")
    add(
        "faults",
        len(finding.ordeals),
        f"of {len({one.name for one in finding.ordeals})} kinds, in {finding.seconds:.0f} s",
    )
    slow = [one for one in finding.ordeals if one.recovered is None]
    add("not recovered", len(slow), ", ".join(one.name for one in slow), must_be=0)
    add("not drained", len(finding.not_drained), ", ".join(finding.not_drained), must_be=0)
    if finding.crashes:
        add("actor crashes", finding.crashes, "bugs, though the supervisor has seen to them: look into the logs")
    return table


def recoveries(finding: Finding) -> Table:
    """How long recovery took, kind by kind."""
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "right"):
        table.add_column(justify=justify)
    table.add_row(" fault", "times", "recovered within", "longest pause", style="dim")
    for name in KINDS:
        of_kind = [one for one in finding.ordeals if one.name == name]
        if of_kind:
            known = [one.recovered for one in of_kind if one.recovered is not None]
            within = f"{max(known):.1f} s" if len(known) == len(of_kind) else "never"
            table.add_row(f" {name}", str(len(of_kind)), within, f"{max(one.pause for one in of_kind):.1f} s")
    return table
