"""A line of progress on a terminal for work that takes longer than a second."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Self

QUIET_FOR = 1.0
"""Seconds before the line appears. Short work shows nothing."""

REPAINT_INTERVAL = 0.2
"""Seconds between two versions of the line."""

CLEAR_LINE = "\r\x1b[K"


class Progress:
    """Entered: counts and shows progress on standard error. Left: the line is gone.

    It shows nothing if standard error is not a terminal, so files and pipes stay clean. A thread paints the line,
    because the work may block the event loop.
    """

    def __init__(self, what: str, *, total: int | None = None) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._ended = threading.Event()
        self._painter: threading.Thread | None = None
        self._began = 0.0

    def advance(self, count: int = 1) -> None:
        """Add to what is done."""
        self._done += count

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if sys.stderr.isatty():
            self._painter = threading.Thread(target=self._paint, daemon=True)
            self._painter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._painter is not None:
            self._ended.set()
            self._painter.join()

    def line(self, columns: int) -> str:
        """The line for a terminal of this width. A longer one would be broken, and could not be removed."""
        return self._text()[: columns - 1]

    def _text(self) -> str:
        """A line with the name of the work, the part of it that is done, and the seconds since it began."""
        count = f" {self._done}" if self._done else ""
        total = f" of {self._total}" if self._done and self._total is not None else ""
        return f"{self._what}:{count}{total} ({time.monotonic() - self._began:.0f} s)"

    def _paint(self) -> None:
        if self._ended.wait(QUIET_FOR):
            return
        while True:
            sys.stderr.write(f"{CLEAR_LINE}{self.line(_columns())}")
            sys.stderr.flush()
            if self._ended.wait(REPAINT_INTERVAL):
                break
        sys.stderr.write(CLEAR_LINE)
        sys.stderr.flush()


def _columns() -> int:
    """The width of the terminal: COLUMNS, or else what it says of itself. Standard output may be no terminal."""
    try:
        fallback = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        fallback = os.terminal_size((80, 24))
    return shutil.get_terminal_size(fallback).columns


BAR_CELLS = 30
"""Characters of a bar where there is room."""


class ProgressBar(Progress):
    """As Progress, with a bar where the total is known."""

    def line(self, columns: int) -> str:
        """The line for a terminal of this width."""
        text = super().line(columns)
        cells = min(BAR_CELLS, columns - 1 - len(text) - len("[] "))
        if not self._total or cells <= 1:
            return text
        filled = min(self._done * cells // self._total, cells)
        return f"[{'#' * filled}{'.' * (cells - filled)}] {text}"
