"""Lines of CSV (RFC 4180) as documents: a header with the names of fields, then one record on each line.

A record ends with its line: no value of a user can hold a line break. So a quote that is left open ends no other row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from service.api.http.problems import INVALID, MALFORMED, FieldError, Problem

DELIMITERS = (",", ";", "\t")
"""The separators of cells. The header decides: spreadsheets take the semicolon where the comma is the decimal sign."""

MAX_COLUMNS = 200
"""Columns of a header."""

_CELL = {one: re.compile(rf'(?:"((?:[^"]|"")*)"|([^"{one}]*))(?:({one})|$)') for one in DELIMITERS}


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """The columns of a CSV body. `nullable` are fields whose empty cell is null; of others it is a missing value.

    `width` counts the cells of the header, with the empty ones after the last column.
    """

    columns: tuple[str, ...]
    width: int
    delimiter: str
    nullable: Collection[str]

    def document(self, line: bytes) -> dict[str, str | None]:
        """The record of a line as a JSON document. Raises Problem."""
        cells: Sequence[str] = _cells(_text(line), self.delimiter)
        if len(cells) <= self.width:
            cells = without_empty_end(cells, len(self.columns))
        if len(cells) != len(self.columns):
            raise Problem(MALFORMED, f"Expected {len(self.columns)} cells, as the header has, and found {len(cells)}.")
        found = dict(zip(self.columns, cells, strict=True))
        if "" not in cells:
            return found  # type: ignore[return-value]  # a dict of the narrower type
        return {name: cell or None for name, cell in found.items() if cell or name in self.nullable}


def csv_header(line: bytes, fields: Mapping[str, bool]) -> CsvHeader:
    """Read the header: the names of JSON fields, in any order. `fields` says of each if it may be null.

    Raises Problem, which names every column that is unknown or comes twice.
    """
    text = _text(line)
    counts = Counter(text)
    delimiter = max(DELIMITERS, key=lambda one: (counts[one], -DELIMITERS.index(one)))
    cells = _cells(text, delimiter)
    columns = [cell.strip() for cell in without_empty_end(cells, 1)[: MAX_COLUMNS + 1]]
    errors = [
        *(FieldError(name[:100], _unknown(name, fields)) for name in columns if name not in fields),
        *(
            FieldError(name, "The header has this column twice.")
            for name, n in Counter(columns).items()
            if name and n > 1
        ),
    ]
    if errors:
        raise Problem(INVALID, f"The header: {errors[0].field!r}: {errors[0].message}", errors=errors[:20])
    nullable = frozenset(name for name, may_be_null in fields.items() if may_be_null)
    return CsvHeader(tuple(columns), len(cells), delimiter, nullable)


def names_delimiter(line: str | bytes) -> bool:
    """True for the line `sep=;`, which tells spreadsheets how the cells are separated. The header is after it."""
    text = line.decode("latin-1") if isinstance(line, bytes) else line
    return re.fullmatch(r'"?sep=[,;\t]"?,*[\r\n]*', text, re.IGNORECASE) is not None


def without_empty_end(cells: Sequence[str], columns: int) -> Sequence[str]:
    """The cells without the empty ones after the first `columns`: spreadsheets write them for columns once used."""
    end = len(cells)
    while end > columns and not cells[end - 1].strip():
        end -= 1
    return cells[:end]


def suggest_field(name: str, fields: Collection[str]) -> str | None:
    """The field that is meant by a column such as `First Name` or `birthday`, or None."""
    key = _letters(name)
    close = [field for field in fields if _letters(field) == key]
    close = close or [field for field in fields if len(key) > 2 and _letters(field).startswith(key)]
    return close[0] if len(close) == 1 else None


def _unknown(name: str, fields: Collection[str]) -> str:
    if not name:
        return "A column without a name, before others that have one."
    meant = suggest_field(name, fields)
    hint = f"Did you mean {meant}?" if meant else f"Expected one of {', '.join(fields)}."
    return f"Unknown column. {hint}"


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name[:100]).casefold()


def _text(line: bytes) -> str:
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise Problem(MALFORMED, "Expected text in UTF-8.") from error


def _cells(text: str, delimiter: str) -> list[str]:
    if '"' not in text:
        return text.split(delimiter)
    cells: list[str] = []
    at, more = 0, True
    while more:
        found = _CELL[delimiter].match(text, at)
        if found is None:
            raise Problem(MALFORMED, f"Cell {len(cells) + 1} has a quotation mark that does not enclose it, or no end.")
        cells.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        at, more = found.end(), found[3] is not None
    return cells
