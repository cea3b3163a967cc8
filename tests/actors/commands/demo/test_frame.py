"""The live picture fits the terminal and shows the important facts."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from actors.commands.demo.cities import CITIES
from actors.commands.demo.days import Day
from actors.commands.demo.figures import LATEST, Counts, Figures, Left
from actors.commands.demo.frame import LEFT, frame
from actors.commands.demo.scene import Scene, Service, Urls
from actors.commands.demo.screen import Screen
from actors.commands.rehearsal.verdict import Verdict
from service.domain.messages import Outcome

DAY = Day(1, datetime(2026, 11, 23, 18, 16, tzinfo=UTC))
KATHMANDU = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)
GOOD = Verdict(300, 300, 300, 41, 29, 19, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, timedelta(hours=1), 3, timedelta(seconds=40))


def a_scene(now: datetime = KATHMANDU) -> Scene:
    """A scene with every kind of event."""
    zones = {city.timezone: Counts(3, 2, 1, 40 * city.weight, 1, 7) for city in CITIES} | {"Etc/UTC": Counts(1)}
    latest = tuple(Left(now, "Asia/Kathmandu", "Kathmandu", "सीता श्रेष्ठ", "anniversary", 3) for _ in range(LATEST))
    return Scene(
        DAY,
        now,
        60.0,
        Figures(zones, {Outcome.UNKNOWN: 5}, latest, 400),
        Service(1_234_567, 90_000, 40_000, 10_000, 6, 123.4),
        Urls("http://127.0.0.1:23456", "http://127.0.0.1:23457", ".heyday/node.log"),
        circuit="half-open",
        trouble="PostgreSQL is away",
        verdicts=((DAY, GOOD),),
    )


def text(scene: Scene, width: int = 80, height: int = 24) -> str:
    """The picture without colors."""
    return "\n".join(line.plain for line in frame(scene, width, height))


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (100, 30), (110, 20), (120, 40), (250, 90)])
@pytest.mark.parametrize("hours", [-1, 0, 1, 12, 23.9, 25])
def test_a_picture_has_the_size_of_the_terminal(size: tuple[int, int], hours: float) -> None:
    """With one line more the terminal scrolls. With one column more it wraps."""
    width, height = size

    lines = frame(a_scene(DAY.start + timedelta(hours=hours)), width, height)

    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width


def test_a_picture_of_nothing_yet_can_be_drawn() -> None:
    """Before the first figures are read."""
    scene = Scene(DAY, DAY.start, 60.0, Figures(), Service(), Urls("", "", ""))

    assert "before 09:00 everywhere" in text(scene)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_the_city_where_it_is_nine_is_marked_and_in_view(size: tuple[int, int]) -> None:
    """A reader must find the city at any hour."""
    for at, city in DAY.nines:
        shown = text(a_scene(at), *size)

        # In two cities at once, half a world apart, one of them is in view.
        beside = {other.name for when, other in DAY.nines if when == at}
        assert any(f"☀ {name}" in shown for name in beside), city.name


def test_the_signs_of_a_bar_differ_without_color() -> None:
    """NO_COLOR may be set, and some readers see no colors."""
    zones = {"Asia/Kathmandu": Counts(waiting=3, leaving=1, retrying=2, sent=4, lost=1)}

    shown = text(replace(a_scene(), figures=Figures(zones)), 80, 24)

    assert "●●●●✗↻↻◐···" in shown


def test_a_bar_that_is_shrunk_still_shows_what_is_under_way() -> None:
    """One retried greeting among a thousand sent ones is important."""
    zones = {"Asia/Kathmandu": Counts(waiting=1, leaving=1, retrying=1, sent=1000, lost=1)}

    shown = text(replace(a_scene(), figures=Figures(zones)), 80, 24)

    assert "●✗↻◐·" in shown


def test_trouble_and_lost_greetings_are_shown() -> None:
    """A picture without errors would be useless."""
    shown = text(a_scene(), 120, 40)

    assert "PostgreSQL is away" in shown
    assert f"lost {len(CITIES)}" in shown
    assert "circuit half-open" in shown
    assert "duplicates 1" in shown  # six repeated, and five unknown outcomes to explain them


def test_users_in_other_time_zones_are_counted() -> None:
    """A user can sign up through the API during the demo."""
    assert "elsewhere" in text(a_scene())


def test_two_columns_do_not_run_into_each_other() -> None:
    """A full bar must not push the figures off the screen."""
    lines = frame(a_scene(), 120, 40)

    assert {line.plain[LEFT : LEFT + 2] for line in lines[5:-4]} == {"  "}


def test_the_last_verdict_stays_in_view() -> None:
    """The summary has scrolled away."""
    shown = text(a_scene())

    assert "day 1: planned 300, sent 300, retried 41, lost 0, early 0, duplicates 0" in shown


def test_the_terminal_is_left_as_it_was() -> None:
    """The alternate screen is left and the cursor is shown again, also after an error."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80, height=24, legacy_windows=False, _environ={})

    def show_and_fail() -> None:
        with Screen(console) as screen:
            screen.show(a_scene())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        show_and_fail()

    assert "\x1b[?1049h" in output.getvalue()
    assert output.getvalue().endswith("\x1b[?1049l")
    assert "\x1b[?25h" in output.getvalue()


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {}])
def test_without_a_terminal_there_is_a_plain_line_an_hour(environment: dict[str, str]) -> None:
    """The log of a build server must be readable."""
    output = io.StringIO()
    console = Console(
        file=output, force_terminal="TERM" in environment, width=80, height=24, _environ={"TERM": "", **environment}
    )

    with Screen(console) as screen:
        for minute in range(130):
            screen.show(replace(a_scene(KATHMANDU + timedelta(minutes=minute)), verdicts=()))

    lines = output.getvalue().splitlines()
    assert [line[:13] for line in lines] == ["24 Nov 03:15 ", "24 Nov 04:00 ", "24 Nov 05:00 "]
    assert "\x1b" not in output.getvalue()
    assert "09:00 in Kathmandu" in lines[0]
