"""The table of a verdict: a name, a figure and its meaning on each line."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text


class FigureTable:
    """Builds `table`. A figure with `must_be` is green if it has that value, else red."""

    def __init__(self) -> None:
        self.table = Table.grid(padding=(0, 2))
        self.table.add_column()
        self.table.add_column(justify="right")
        self.table.add_column()

    def add(self, name: str, figure: int | str, note: str = "", *, must_be: int | None = None) -> None:
        """Add a line."""
        style = "bold" if must_be is None else "bold green" if figure == must_be else "bold red"
        self.table.add_row(f" {name}", Text(str(figure), style), Text(note, "dim"))
