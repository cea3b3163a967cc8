"""Writes the refused rows with their lines and reasons to a file of the same format, or to standard error."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from actors.commands.arguments import usable
from actors.commands.errors import CommandFailed
from actors.commands.imports.source import Source, SourceRow
from actors.commands.output import printable
from actors.commands.progress import CLEAR_LINE

MAX_SHOWN = 20
"""At most this many refused rows are written to standard error, if there is no file for them."""


class Refusals:
    """Entered: records refused rows. `count` is their number. Raises CommandFailed if the file takes no more."""

    def __init__(self, path: Path | None, source: Source) -> None:
        self._path = path
        self._source = source
        self._file: IO[str] | None = None
        self.count = 0

    def __enter__(self) -> Self:
        if self._path is not None:
            with usable("--refused", self._path):
                self._file = self._path.open("w", encoding="utf-8", newline="")
            if self._source.delimiter is not None:
                self._write(["line", "reason", *self._source.columns])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        try:
            self._file.close()
        except OSError as failure:
            if error is None:
                raise self._failed(failure) from failure

    def add(self, row: SourceRow, reason: str) -> None:
        """Record a row that was refused for this reason."""
        self.count += 1
        if self._file is None:
            if self.count <= MAX_SHOWN:
                clear = CLEAR_LINE if sys.stderr.isatty() else ""
                sys.stderr.write(f"{clear}line {row.line}: {printable(reason)}\n")
            elif self.count == MAX_SHOWN + 1:
                sys.stderr.write("and more: --refused FILE writes them all\n")
        elif self._source.delimiter is None:
            document = {"line": row.line, "reason": reason, "row": row.text if row.cells is None else row.cells}
            self._write(json.dumps(document, ensure_ascii=False) + "\n")
        else:
            cells = [row.text] if row.cells is None else list(row.cells.values())
            self._write([row.line, reason, *cells])

    def _write(self, line: str | list[object]) -> None:
        """Write a line, or the cells of one. Raises CommandFailed."""
        assert self._file is not None  # noqa: S101 - the callers know
        try:
            if isinstance(line, str):
                self._file.write(line)
            else:
                csv.writer(self._file, delimiter=self._source.delimiter or ",").writerow(line)
        except OSError as failure:
            raise self._failed(failure) from failure

    def _failed(self, failure: OSError) -> CommandFailed:
        return CommandFailed(
            f"--refused {self._path}: {failure.strerror}. The file lacks refused rows: name one with room"
        )
