"""Plots the answers: one picture per dashboard, and one of the panels that show the events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.observe.findings import Answer

COLUMNS = 4
LINES = 10
"""Maximum of lines in one panel, so that the legend stays readable."""

STORY = (
    "How does the wave of 09:00 leave?",
    "How late are greetings, against the objective?",
    "Where are the messages now?",
    "When could greetings leave, and when was the circuit open?",
    "Why are greetings tried again?",
    "Which node holds claimed entries?",
    "Which alerts fired, and when?",
    "Which share left in time recently?",
    "Did a node die, and was its work taken over?",
)
"""The panels of the overview."""

OBJECTIVE = 60.0

COLOURS = {"green": "#73bf69", "red": "#f2495c", "orange": "#ff9830", "blue": "#5794f2"}
"""The colours behind Grafana's names."""

UNITS = {"short": "", "none": "", "percentunit": "share"}
"""Readable names of some Grafana units."""


def draw_dashboards(answers: list[Answer], folder: Path, *, due: float, marks: Mapping[str, float]) -> list[Path]:
    """Draw a PNG of each dashboard; times are seconds from `due`, and `marks` are vertical lines."""
    files = []
    for dashboard, group in groupby(answers, key=lambda answer: answer.query.dashboard):
        file = folder / (dashboard.partition(" · ")[2].lower().replace(" ", "_") + ".png")
        _draw(_panels(group), file, due, marks, columns=COLUMNS, dpi=60)
        files.append(file)
    return files


def draw_story(answers: list[Answer], file: Path, *, due: float, marks: Mapping[str, float]) -> None:
    """Draw a small PNG of the overview panels."""
    panels = _panels(answers)
    questions = {title.partition(" · ")[0]: answered for title, answered in panels.items()}
    _draw({question: questions[question] for question in STORY}, file, due, marks, columns=3, dpi=75)


def _panels(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    panels: dict[str, list[Answer]] = {}
    for answer in answers:
        panel = panels.setdefault(answer.query.panel, [])
        if not panel or panel[0].query.dashboard == answer.query.dashboard:
            panel.append(answer)
    return panels


def _draw(
    panels: Mapping[str, list[Answer]], file: Path, due: float, marks: Mapping[str, float], *, columns: int, dpi: int
) -> None:
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.1 * rows), dpi=dpi)
    grid = figure.subplots(rows, columns, squeeze=False)
    # A fixed layout: the automatic one takes a minute for five dashboards.
    figure.subplots_adjust(
        left=0.5 / columns / 5.2, right=1 - 0.1 / columns / 5.2, top=1 - 0.3 / rows / 3.1, bottom=0.3 / rows / 3.1,
        wspace=0.16, hspace=0.28,
    )  # fmt: skip
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.axis("off")
            continue
        title = list(panels)[place]
        _panel(axes, title, panels[title], due)
        for name, at in marks.items():
            axes.axvline(at - due, color="grey", linewidth=0.8, linestyle=":", zorder=0)
            axes.text(at - due, 1.0, f" {name}", rotation=90, fontsize=5, color="grey", va="top", ha="left",
                      transform=axes.get_xaxis_transform())  # fmt: skip
    figure.savefig(file)


def _panel(axes: Axes, title: str, answers: list[Answer], due: float) -> None:
    query = answers[0].query
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    lines = [line for answer in answers for line in answer.series]
    lines.sort(key=lambda line: -max(value for _, value in line[1].points))
    shown: set[str] = set()
    for row, (name, series) in enumerate(lines[:LINES]):
        times = [at - due for at, _ in series.points]
        values = [value for _, value in series.points]
        if query.kind == "state-timeline":
            # One bar per series, in Grafana's colours.
            for value, (word, colour) in query.words.items():
                at = [time for time, seen in zip(times, values, strict=True) if seen == value]
                label = word if at and word not in shown else None
                shown |= {word} if at else set()
                axes.scatter(at, [row] * len(at), color=COLOURS[colour], marker="|", s=60, label=label)
        else:
            axes.plot(times, values, linewidth=1, label=name)
    if query.kind == "state-timeline":
        axes.set_yticks([])
        axes.set_ylim(-0.7, len(lines[:LINES]) - 0.3)
        for row, (name, _) in enumerate(lines[:LINES]):
            axes.text(0.01, row + 0.15, name, fontsize=6, va="bottom", transform=axes.get_yaxis_transform())
        axes.legend(fontsize=6, loc="upper right", framealpha=0.6)
        return
    if "against the objective" in title:
        axes.set_yscale("log")
        axes.axhline(OBJECTIVE, color="red", linewidth=0.8, linestyle="--")
    axes.set_ylabel(UNITS.get(query.unit, query.unit.removeprefix("suffix:").strip()), fontsize=7, labelpad=1)
    axes.grid(visible=True, linewidth=0.3)
    if any(name for name, _ in lines):
        axes.legend(fontsize=6, loc="upper left", framealpha=0.6)
