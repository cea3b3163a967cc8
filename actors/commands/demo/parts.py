"""The parts of the live view. Each is a list of lines that fit the given width."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from actors.commands.demo.cities import City
from actors.commands.demo.figures import Counts
from actors.commands.demo.report import figures_of, span
from actors.commands.demo.scene import Row, Scene, elsewhere, rows
from service.domain.messages import Outcome
from service.domain.zones import zone

SENT, LEAVING, RETRYING, WAITING, LOST = "●", "◐", "↻", "·", "✗"
"""Signs in the bar of a city, one for each greeting. They differ without colors, too."""

_STYLES = {SENT: "green", LEAVING: "bold yellow", RETRYING: "bold magenta", WAITING: "dim", LOST: "bold red"}

CITY_WIDTH = 57
"""Width of the line of a city without its bar."""


def title(scene: Scene, width: int) -> list[Text]:
    """The title line, with business time and speed."""
    left = Text.assemble((" heyday demo ", "bold reverse"), "  ", (f"{scene.now:%a %d %b %Y  %H:%M} UTC", "bold"))
    pace = f"a day in {scene.seconds_per_day:g} s · day {scene.day.number} "
    return [_apart(left, Text(pace, "dim"), width)]


def nine(scene: Scene, width: int) -> list[Text]:
    """The line with the cities where it is 09:00, and where it is 09:00 next."""
    here = scene.day.just_had(scene.now)
    at, there = scene.day.have_next(scene.now)
    line = Text(" ")
    if here:
        line.append("☀ 09:00 in ", "bold yellow").append(_names(here), "bold")
    else:
        line.append("☀ before 09:00 everywhere", "bold yellow")
    if at is not None:
        line.append(f"   next {_names(there)} in {span(at - scene.now)}", "dim")
    else:
        line.append("   it has been everywhere", "dim")
    line.truncate(width, overflow="ellipsis")
    return [line]


def belt(scene: Scene, width: int) -> list[Text]:
    """The day as a line on which 09:00 moves, with the names of the larger cities."""
    length = width - 2
    here = min(length - 1, int(scene.day.elapsed(scene.now) * length))
    line = Text(" ")
    line.append("━" * here, "yellow").append("☀", "bold yellow").append("─" * (length - here - 1), "dim")
    names = [" "] * width
    for at, city in sorted(scene.day.nines, key=lambda one: -one[1].weight):
        begin = 1 + int(scene.day.elapsed(at) * length)
        place = slice(max(0, begin - 1), begin + cell_len(city.name) + 1)
        if place.stop <= width and not "".join(names[place]).strip():
            names[begin : begin + len(city.name)] = city.name
    return [line, Text("".join(names), "dim")]


def cities(scene: Scene, width: int, height: int) -> list[Text]:
    """The table of cities around the one where it is 09:00, as many as fit."""
    every = rows(scene)
    room = height - 1
    front = _front(every, scene)
    other = elsewhere(scene)
    if other.planned and room > 1:
        room -= 1
    first = max(0, min(front - room // 2, len(every) - room))
    head = Text(f"   {'city':<13} {'local time':<16}{'waits':>5} {'going':>5} {'retry':>5} {'sent':>4}", "dim")
    shown = [_city(row, scene, width) for row in every[first : first + room]]
    if other.planned and height > 2:
        shown.append(_counted(Text(f"   {'elsewhere':<30}"), other, width))
    return [head, *shown]


def _front(every: Sequence[Row], scene: Scene) -> int:
    passed = [row.nine for row in every if row.nine <= scene.now]
    at = max(passed) if passed else min(row.nine for row in every)
    return next(index for index, row in enumerate(every) if row.nine == at)


def _city(row: Row, scene: Scene, width: int) -> Text:
    now, done = row.has_nine(scene.now), row.nine <= scene.now
    style = "bold yellow" if now else "" if done else "dim"
    line = Text(" ☀ " if now else "   ", style)
    line.append(set_cell_size(row.city.name, 13), style)
    line.append(f" {row.local:%a %H:%M} {_offset(row)}", style)
    return _counted(line, row.counts, width)


def _counted(line: Text, counts: Counts, width: int) -> Text:
    columns = (counts.waiting, WAITING, 5), (counts.leaving, LEAVING, 6), (counts.retrying, RETRYING, 6)
    for count, sign, width_of in (*columns, (counts.sent, SENT, 5)):
        line.append(f"{count or '':>{width_of}}", _STYLES[sign])
    line.append("  ")
    return line.append_text(_bar(counts, width - CITY_WIDTH))


def _bar(counts: Counts, length: int) -> Text:
    """One sign for each greeting. A long bar is scaled down, with at least one sign of each kind."""
    parts = [
        (SENT, counts.sent),
        (LOST, counts.lost),
        (RETRYING, counts.retrying),
        (LEAVING, counts.leaving),
        (WAITING, counts.waiting),
    ]
    scale = min(1.0, length / max(1, counts.planned))
    sizes = [max(1, int(count * scale)) if count else 0 for _, count in parts]
    while sum(sizes) > length and max(sizes) > 1:
        sizes[sizes.index(max(sizes))] -= 1
    bar = Text()
    for (sign, _), size in zip(parts, sizes, strict=True):
        bar.append(sign * size, _STYLES[sign])
    bar.truncate(max(0, length))
    return bar


def greetings(scene: Scene, width: int, height: int) -> list[Text]:
    """The latest greetings. Names come last, because some are written from right to left."""
    lines = [Text(" the latest greetings", "dim")]
    for left in scene.figures.latest[: max(0, height - 1)]:
        local = left.at.astimezone(zone(left.timezone))
        line = Text(" ")
        again = left.attempt > 1
        line.append(f"{local:%H:%M} ", "bold magenta" if again else "bold")
        line.append(f"×{left.attempt:<2}" if again else "   ", "magenta")
        line.append(set_cell_size(left.city, 14)).append(f"{left.occasion:<12}", "cyan")
        line.append(left.full_name)
        line.truncate(width)
        lines.append(line)
    return lines


def totals(scene: Scene, width: int) -> list[Text]:
    """The figures of the day and of the email service."""
    total, service = scene.figures.total, scene.service
    day = [
        _figure("planned", total.planned),
        _figure("waiting", total.waiting),
        _figure("going", total.leaving, "bold yellow"),
        _figure("retrying", total.retrying, "bold magenta"),
        _figure("sent", total.sent, "bold green"),
        _figure("retried", total.retried, "bold magenta"),
        _figure("lost", total.lost, "bold red"),
    ]
    calls = [
        _figure("calls", service.calls),
        _figure("errors", service.errors, "bold magenta"),
        _figure("hung", service.hangs, "bold magenta"),
        _figure("accepted, then cut", service.cut, "bold magenta"),
        Text.assemble((f"{service.rate:.0f}", "bold"), ("/s", "dim")),
        Text.assemble(("circuit ", "dim"), (scene.circuit, "bold green" if scene.circuit == "closed" else "bold red")),
    ]
    unknown = [
        _figure("unknown outcomes", scene.figures.of(Outcome.UNKNOWN), "bold magenta"),
        _figure("repeated after them", service.repeated),
        _figure("duplicates", scene.unexplained, "bold red"),
        _figure("restarts", scene.restarts),
    ]
    lines = [line for words in (day, calls, unknown) for line in _flow(words, width)]
    if scene.trouble:
        lines.append(Text(f" {scene.trouble}", "bold red"))
    return lines


def verdict(scene: Scene, width: int) -> list[Text]:
    """The verdict of the last completed day, if there is one."""
    if not scene.verdicts:
        return []
    day, last = scene.verdicts[-1]
    style = "bold green" if last.good else "bold red"
    return _flow([Text(words, style) for words in (f"day {day.number}:", *figures_of(last))], width, between=" ")


def addresses(scene: Scene, width: int) -> list[Text]:
    """The URLs of the API and of the email service, and the log file."""
    urls = scene.urls
    api = Text.assemble(" API ", (f"{urls.api}/docs", "cyan underline"), "  ", "/health/detailed", "  /metrics")
    email = Text.assemble(" email service ", (f"{urls.email}/stats", "cyan underline"), f"  log {urls.log}")
    end = Text("Ctrl-C ends ", "dim")
    for line in (api, email):
        line.truncate(width)
    return [api, _apart(email, end, width)]


def line_of(scene: Scene) -> str:
    """The scene in one line, for output into a file."""
    total = scene.figures.total
    figures = f"sent {total.sent:>4} of {total.planned:<4} waiting {total.waiting:<4} retrying {total.retrying:<3}"
    here = _names(scene.day.just_had(scene.now)) or "nowhere yet"
    circuit = "" if scene.circuit == "closed" else f"  circuit {scene.circuit}"
    trouble = f"  ({scene.trouble})" if scene.trouble else ""
    return f"{scene.now:%d %b %H:%M} UTC  {figures} 09:00 in {here}{circuit}{trouble}"


def _figure(name: str, count: int, style: str = "bold") -> Text:
    return Text.assemble((f"{name} ", "dim"), (f"{count}", style if count else "bold"))


def _flow(words: Sequence[Text], width: int, *, between: str = "  ") -> list[Text]:
    """Fill lines with these words. No word is split."""
    lines = [Text(" ")]
    for word in words:
        begun = lines[-1].cell_len > 1
        if begun and lines[-1].cell_len + len(between) + word.cell_len > width:
            lines.append(Text(" "))
            begun = False
        lines[-1].append(between if begun else "").append_text(word)
    return lines


def _apart(left: Text, right: Text, width: int) -> Text:
    room = width - left.cell_len - right.cell_len
    if room < 1:
        left.truncate(width)
        return left
    return Text.assemble(left, " " * room, right)


def _names(found: Sequence[City]) -> str:
    return " and ".join(city.name for city in found)


def _offset(row: Row) -> str:
    minutes = int((row.local.utcoffset() or timedelta()).total_seconds()) // 60
    return f"{'−' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
