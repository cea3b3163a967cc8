"""Output of the demo: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.control import Control
from rich.segment import ControlType, Segment
from rich.text import Text

from actors.commands.demo.frame import frame
from actors.commands.demo.parts import line_of
from actors.commands.demo.scene import Scene

FRAMES_PER_SECOND = 8

_CLEAR_REST: Segment = Control((ControlType.ERASE_IN_LINE, 0)).segment

LEAST_SIZE = (60, 16)
"""Columns and rows of the smallest terminal that shows the picture."""


class Screen:
    """Entered: ready to show. Left: the terminal is restored, with the lines that were said."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._painted: tuple[int, int] | None = None
        self._told: datetime | None = None
        width, height = console.size
        self._moving = (
            console.is_terminal
            and not console.is_dumb_terminal
            and console.encoding.startswith("utf")
            and width >= LEAST_SIZE[0]
            and height >= LEAST_SIZE[1]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def say(self, what: RenderableType = "") -> None:
        """Print a line that stays, below the earlier lines and outside of the picture."""
        self._leave()
        # A terminal wraps long lines itself. A file keeps them whole.
        self._console.print(what, highlight=False, soft_wrap=isinstance(what, str))

    def show(self, scene: Scene) -> None:
        """Show the scene: at once in the picture, or as a line for each business hour."""
        if self._moving:
            width, height = self._console.size
            self._paint(frame(scene, width, height), (width, height))
            return
        hour = scene.now.replace(minute=0, second=0, microsecond=0)
        # After the first day, one line a day is enough for a file.
        if hour != self._told and (not scene.verdicts or self._told is None or hour.hour == scene.day.start.hour):
            self._told = hour
            self._console.print(line_of(scene), highlight=False, soft_wrap=True)

    def _paint(self, lines: list[Text], size: tuple[int, int]) -> None:
        """Write every line in its place, and clear the rest of the line.

        The live display of rich pads lines instead. That breaks the picture if a terminal shows a name in Burmese or
        Devanagari with another width than rich computes.
        """
        if self._painted is None:
            self._console.set_alt_screen(True)
            self._console.show_cursor(False)
        elif self._painted != size:
            self._console.clear()
        self._painted = size
        self._console.update_screen_lines([[*line.render(self._console), _CLEAR_REST] for line in lines])

    def _leave(self) -> None:
        if self._painted is not None:
            self._painted = None
            self._console.show_cursor(True)
            self._console.set_alt_screen(False)
