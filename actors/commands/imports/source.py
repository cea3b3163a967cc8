"""Reads rows from a file of CSV or NDJSON. A line that cannot be read is reported, and stops no other."""

from __future__ import annotations

import csv
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import orjson

from actors.commands.errors import CommandFailed
from service.api.http.body import MAX_FIELD_NAME, repeated_name
from service.api.http.csv_lines import names_delimiter, without_empty_end

MAX_RECORD_LINES = 50
"""Lines that a record with line breaks in quotes may have."""

NOT_A_RECORD = (
    "a quotation mark has no end, or text after it; or there is a lone carriage return, "
    f"or a cell of more than {csv.field_size_limit():,} characters"
)
"""The reason given for a row that the CSV parser refuses, whose exceptions do not tell the causes apart."""

DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row with the number of its line. `cells` is None if it cannot be read, for this `reason`."""

    line: int
    text: str
    cells: dict[str, Any] | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """The columns of a file, empty for NDJSON, and its rows. `delimiter` is None for NDJSON."""

    columns: tuple[str, ...]
    rows: Iterator[SourceRow]
    delimiter: str | None


def open_source(lines: Iterable[bytes], kind: str) -> Source:
    """Read the header, if there is one. Raises CommandFailed."""
    texts = _texts(lines)
    first = next((one for one in texts if one[1] is None or one[1].strip()), None)
    if kind == "ndjson":
        if first is not None and (first[1] or "").lstrip().startswith("["):
            raise CommandFailed(
                "the file is a JSON array: expected NDJSON, one JSON object on each line, "
                "such as `jq -c '.[]' FILE` writes"
            )
        return Source((), _documents(texts if first is None else chain([first], texts)), None)
    if first is None or first[1] is None:
        raise CommandFailed("the file has no header in UTF-8")
    if "\r" in first[1].rstrip("\r\n"):
        raise CommandFailed("the lines of the file end with CR alone: expected LF or CRLF")
    number, header = first[0], first[1]
    if names_delimiter(header):
        after = next((one for one in texts if one[1] is None or one[1].strip()), None)
        if after is None or after[1] is None:
            raise CommandFailed("the file has no header in UTF-8")
        number, header = after[0], after[1]
    delimiter = max(DELIMITERS, key=header.count)
    try:
        columns = tuple(cell.strip() for cell in next(csv.reader([header], delimiter=delimiter)))
    except csv.Error as error:
        raise CommandFailed(f"line {number}: expected a header of CSV ({error})") from error
    width, named = len(columns), without_empty_end(columns, 1)
    if len(named) < width:
        columns = (*named, "")  # what spreadsheets write for columns without a name: usually nothing
    if twice := [column for column, count in Counter(columns).items() if count > 1]:
        raise CommandFailed(f"line {number}: the header has column {', '.join(map(repr, twice))} more than once")
    return Source(columns, _records(texts, columns, width, delimiter), delimiter)


def _texts(lines: Iterable[bytes]) -> Iterator[tuple[int, str | None]]:
    """Yield numbered lines. The text is None for a line that is not UTF-8."""
    for number, line in enumerate(lines, 1):
        try:
            yield number, line.removeprefix(b"\xef\xbb\xbf").decode()
        except UnicodeDecodeError:
            yield number, None


def _documents(texts: Iterable[tuple[int, str | None]]) -> Iterator[SourceRow]:
    for number, text in texts:
        if text is None:
            yield SourceRow(number, "", None, "expected text in UTF-8")
        elif text.strip():
            try:
                found = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                yield SourceRow(number, text.strip(), None, f"expected JSON: {error}")
                continue
            if (name := repeated_name(text.encode(), found)) is not None:
                yield SourceRow(number, text.strip(), None, f"{name[:MAX_FIELD_NAME]}: Given more than once.")
                continue
            if isinstance(found, dict) and found.keys() == {"line", "reason", "row"}:
                found = found["row"]  # of the file of refused rows, corrected
            cells = found if isinstance(found, dict) else None
            yield SourceRow(number, text.strip(), cells, "" if cells is not None else "expected a JSON object")


def _records(
    texts: Iterator[tuple[int, str | None]], columns: tuple[str, ...], width: int, delimiter: str
) -> Iterator[SourceRow]:
    """Yield the rows. `width` counts the cells of the header, with the empty ones after the last column."""
    waiting: deque[tuple[int, str | None]] = deque()
    named = len(without_empty_end(columns, 1))
    while True:
        taken = [waiting.popleft() if waiting else next(texts, None)]
        if taken[0] is None:
            return
        number, text = taken[0]
        if text is None:
            yield SourceRow(number, "", None, "expected text in UTF-8")
            continue
        if not text.strip():
            continue
        record, used = _record(text, texts, waiting, delimiter)
        if record is None:
            yield SourceRow(number, text.rstrip("\r\n"), None, NOT_A_RECORD)
        elif not any(cell.strip() for cell in record):
            continue  # an empty row of a spreadsheet
        elif len(record) > width or not named <= len(cells := without_empty_end(record, named)) <= len(columns):
            reason = f"expected {len(columns)} cells, as the header has, and found {len(record)}"
            yield SourceRow(number, used.rstrip("\r\n"), None, reason)
        else:
            yield SourceRow(number, used.rstrip("\r\n"), dict(zip(columns, cells, strict=False)))


def _record(
    text: str, texts: Iterator[tuple[int, str | None]], waiting: deque[tuple[int, str | None]], delimiter: str
) -> tuple[list[str] | None, str]:
    """Return the cells and the text of the record that begins with this line. Lines after it stay unread."""
    used: list[str] = [text]
    ahead: list[tuple[int, str | None]] = []
    while True:
        try:
            found = list(csv.reader(used, delimiter=delimiter, strict=True))
        except csv.Error as error:
            more = waiting.popleft() if waiting else next(texts, None)
            if more is not None:
                ahead.append(more)
            open_quote = "unexpected end" in str(error)
            if more is None or more[1] is None or not open_quote or len(used) == MAX_RECORD_LINES:
                waiting.extendleft(reversed(ahead))
                return None, text
            used.append(more[1])
            continue
        return (found[0] if len(found) == 1 else None), "".join(used)
