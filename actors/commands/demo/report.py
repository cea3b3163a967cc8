"""A verdict as text: a line, and the summary at the end of the first day."""

from __future__ import annotations

from datetime import timedelta

from rich.table import Table

from actors.commands.demo.days import Day
from actors.commands.rehearsal.figure_table import FigureTable
from actors.commands.rehearsal.verdict import Verdict


def figures_of(verdict: Verdict) -> list[str]:
    """The most important figures as text."""
    return [
        f"planned {verdict.planned},",
        f"sent {verdict.sent},",
        f"retried {verdict.retried},",
        f"lost {verdict.lost},",
        *([f"late {verdict.late},"] if verdict.late else []),
        f"early {verdict.early},",
        f"duplicates {verdict.duplicates}",
    ]


def summary(day: Day, verdict: Verdict, *, rate: float) -> Table:
    """All figures with their meaning. `rate` is the speed of the business clock."""
    figures = FigureTable()
    add = figures.add
    add("due by calendar", verdict.due, f"{day.start:%d %b %H:%M} to {day.end:%d %b %H:%M} UTC")
    add("planned", verdict.planned, _carried(verdict))
    add("sent", verdict.sent, must_be=verdict.planned)
    add("retried", verdict.retried, f"{verdict.rejected} attempts were answered with an error")
    add("unknown outcomes", verdict.unknown, "attempts without an answer: they hung or were cut off")
    add("lost", verdict.lost, _lost(verdict), must_be=0)
    if verdict.late:
        add("late", verdict.late, "not ended yet", must_be=0)
    add("early", verdict.early, "begun, or accepted, before 09:00", must_be=0)
    add("duplicates", verdict.duplicates, _repeated(verdict), must_be=0)
    add("not on record", verdict.unrecorded, "accepted by the service, not recorded in the database", must_be=0)
    attempts = "at the first attempt" if verdict.latest_attempts == 1 else f"with attempt {verdict.latest_attempts}"
    add("latest", span(verdict.latest), f"after 09:00, {attempts}")
    milliseconds = verdict.latest_first.total_seconds() / rate * 1000
    add("first attempts", span(verdict.latest_first), f"after 09:00 at most: {milliseconds:.0f} ms of real time")
    return figures.table


def _carried(verdict: Verdict) -> str:
    carried = verdict.planned - verdict.due + verdict.unplanned
    return f"with {carried} still open from the day before" if carried > 0 else ""


def _lost(verdict: Verdict) -> str:
    not_sent = verdict.unsent + verdict.wrongly_failed
    return f"unplanned {verdict.unplanned}, unsent {not_sent}, never accepted {verdict.unconfirmed}"


def _repeated(verdict: Verdict) -> str:
    return f"{verdict.repeated} repeated without an answer, with the same Idempotency-Key"


def span(duration: timedelta) -> str:
    """A duration as text, in seconds, minutes or hours."""
    seconds = duration.total_seconds()
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
