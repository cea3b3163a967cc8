"""A verdict in words: a line of it, and the summary that the demo ends its first day with."""

from __future__ import annotations

from datetime import timedelta

from rich.table import Table
from rich.text import Text

from actors.demo.days import Day
from actors.rehearsal.verdict import Verdict


def figures_of(verdict: Verdict) -> list[str]:
    """The figures that matter most, each in words."""
    return [
        f"planned {verdict.planned},",
        f"sent {verdict.sent},",
        f"retried {verdict.retried},",
        f"lost {verdict.lost},",
        f"early {verdict.early},",
        f"duplicates {verdict.duplicates}",
    ]


def summary(day: Day, verdict: Verdict, *, rate: float) -> Table:
    """Every figure with what it counts. `rate` is how fast the business clock ran."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column()

    def add(name: str, figure: int | str, note: str = "", *, must_be: int | None = None) -> None:
        style = "bold" if must_be is None else "bold green" if figure == must_be else "bold red"
        table.add_row(f" {name}", Text(str(figure), style), Text(note, "dim"))

    add("due by calendar", verdict.due, f"{day.start:%d %b %H:%M} to {day.end:%d %b %H:%M} UTC")
    add("planned", verdict.planned, _carried(verdict))
    add("sent", verdict.sent, must_be=verdict.planned)
    add("retried", verdict.retried, f"{verdict.rejected} attempts were answered with an error")
    add("unknown outcomes", verdict.unknown, "attempts never answered: hung, or cut off")
    add("lost", verdict.lost, _lost(verdict), must_be=0)
    add("early", verdict.early, "began, or were accepted, before 09:00", must_be=0)
    add("duplicates", verdict.duplicates, _repeated(verdict), must_be=0)
    add("not on record", verdict.unrecorded, "accepted by the service, not in the database", must_be=0)
    attempts = "at the first attempt" if verdict.latest_attempts == 1 else f"with attempt {verdict.latest_attempts}"
    add("latest", span(verdict.latest), f"after 09:00, {attempts}")
    milliseconds = verdict.latest_first.total_seconds() / rate * 1000
    add("first attempts", span(verdict.latest_first), f"after 09:00 at most: {milliseconds:.0f} ms of real time")
    return table


def _carried(verdict: Verdict) -> str:
    carried = verdict.planned - verdict.due + verdict.unplanned
    return f"with {carried} left open by the day before" if carried > 0 else ""


def _lost(verdict: Verdict) -> str:
    return f"unplanned {verdict.unplanned}, unsent {verdict.unsent}, never accepted {verdict.unconfirmed}"


def _repeated(verdict: Verdict) -> str:
    return f"{verdict.repeated} repeated after no answer, same Idempotency-Key"


def span(duration: timedelta) -> str:
    """A duration in the unit that suits it."""
    seconds = duration.total_seconds()
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
