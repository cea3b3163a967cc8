"""Writes the results of waves as a Markdown table and as plots."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtest.cases import Case
from loadtest.figures import Round, median, ratios

Measured = Sequence[tuple[Case, Sequence[Round]]]

SERVERS = ("postgres", "redis", "rabbitmq", "emailService")

HEAD = (
    "| wave | greetings/s: bare, heyday | of bare | first, last call after, s | lateness p50, p99, s "
    "| CPU µs a greeting: bare, node | PostgreSQL, Redis, RabbitMQ, email service | sum: bare, heyday "
    "| memory, MB | lost, twice, early |"
)


def table(measured: Measured) -> str:
    """Return a table of the medians of the rounds; the last column has the worst round."""
    rounds = {len(one) for _, one in measured}
    title = f"{', '.join(sorted({f'{case.greetings}' for case, _ in measured}))} greetings a wave"
    lines = [f"{title}; medians of {', '.join(map(str, sorted(rounds)))} alternating rounds", "", HEAD]
    lines.append("|" + " --- |" * (HEAD.count("|") - 1))
    lines += [_row(case, one) for case, one in measured]
    if kept := [_rate(case, one) for case, one in measured if case.rate is not None]:
        lines += ["", "| HEYDAY_EMAIL_RATE | calls/s from the first to the last | error | most in any second |"]
        lines += ["| --- | --- | --- | --- |", *kept]
    return "\n".join([*lines, ""])


def _row(case: Case, rounds: Sequence[Round]) -> str:
    def shown(*figures: str, digits: int = 0) -> str:
        return ", ".join(f"{median(rounds, 'heyday', figure):.{digits}f}" for figure in figures)

    cells = (
        case.name,
        f"{median(rounds, 'bare', 'perSecond'):.0f}, {shown('perSecond')}",
        f"{statistics.median(ratios(rounds, 'perSecond')):.2f}",
        shown("firstCallSeconds", "lastCallSeconds", digits=3),
        shown("p50LatenessSeconds", "p99LatenessSeconds", digits=3),
        f"{median(rounds, 'bare', 'nodeMicroseconds'):.0f}, {shown('nodeMicroseconds')}",
        shown(*(f"{name}Microseconds" for name in SERVERS)).replace("nan", "–"),
        f"{_sum(rounds, 'bare'):.0f}, {_sum(rounds, 'heyday'):.0f}",
        shown("memoryMegabytes"),
        ", ".join(f"{max(one['heyday'][figure] for one in rounds):.0f}" for figure in ("lost", "twice", "early")),
    )
    return f"| {' | '.join(cells)} |"


def _sum(rounds: Sequence[Round], who: str) -> float:
    """The median over rounds of the processor time of all processes, in µs a greeting."""
    return statistics.median(
        sum(value for figure, value in one[who].items() if figure.endswith("Microseconds")) for one in rounds
    )


def _rate(case: Case, rounds: Sequence[Round]) -> str:
    assert case.rate is not None
    kept = median(rounds, "heyday", "evenRate")
    most = max(one["heyday"]["mostInASecond"] for one in rounds)
    return f"| {case.rate:g}/s, {case.nodes} node(s) | {kept:.1f} | {kept / case.rate - 1:+.2%} | {most:.0f} |"


def plots(measured: Measured, to: Path) -> list[Path]:
    """Write PNG files into the directory `to`: rates, processor time and lateness of every case."""
    names = [case.name for case, _ in measured]

    def of(who: str, figure: str) -> list[float]:
        return [median(one, who, figure) for _, one in measured]

    node = {"node": of("heyday", "nodeMicroseconds")}
    used = node | {name: of("heyday", f"{name}Microseconds") for name in SERVERS}
    late = {f"p{share}": of("heyday", f"p{share}LatenessSeconds") for share in (50, 99)}
    rates = {"bare loop": of("bare", "perSecond"), "heyday": of("heyday", "perSecond")}
    return [
        bars(to / "rates.png", "greetings a second", names, rates),
        bars(to / "cpu.png", "processor time of a greeting, µs", names, used, stacked=True),
        bars(to / "lateness.png", "lateness, s", names, late),
    ]


def bars(
    to: Path, title: str, names: Sequence[str], series: Mapping[str, Sequence[float]], *, stacked: bool = False
) -> Path:
    """Draw one group of horizontal bars per name, one bar per series; return the file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.5 + 0.4 * len(names)), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(names)
    height = 0.8 if stacked else 0.8 / len(series)
    for number, (label, values) in enumerate(series.items()):
        shift = 0.0 if stacked else number * height - 0.4 + height / 2
        known = [0.0 if math.isnan(value) else value for value in values]
        axes.barh(
            [place + shift for place in range(len(names))], known, height, left=left if stacked else None, label=label
        )
        if stacked:
            left = [start + value for start, value in zip(left, known, strict=True)]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(title)
    axes.legend()
    return _saved(figure, to)


def curves(to: Path, x: str, y: str, series: Mapping[str, Sequence[tuple[float, float]]], *, log: bool = False) -> Path:
    """Draw one curve per series; return the file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for label, points in series.items():
        axes.plot([at for at, _ in points], [value for _, value in points], marker="." if log else "", label=label)
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
    axes.legend()
    return _saved(figure, to)


def _saved(figure: object, to: Path) -> Path:
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to, dpi=120)
    return to
