"""`heyday when`: a filter from lines of NDJSON with dates to lines of NDJSON with instants. It needs no server.

Every input line gets exactly one output line, in order. A blank or invalid line gets an error. So the two files
correspond line by line.
"""

from __future__ import annotations

import argparse
import codecs
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from functools import lru_cache
from typing import BinaryIO

import orjson

from actors.commands.exit_codes import OK
from service.domain.calendar import MAX_OFFSET_DAYS, LeapDay, OutOfRange, Weekend, occurrence
from service.domain.dates import parse_day, stored_date
from service.domain.occasions import is_code
from service.domain.zones import UnknownZone
from service.settings import read_calendar

BLOCK_SIZE = 256 * 1024
"""Bytes of one read. A slow pipe gives less, and those lines are answered at once."""

LONGEST_LINE = 64 * 1024
"""Bytes of the longest valid line. A longer line is an error, so that memory stays bounded."""

_EXPECTED = {
    "occasion": "a code such as birthday or anniversary",
    "date": "a day of the calendar as YYYY-MM-DD, or as --MM-DD",
    "timezone": "an IANA name such as Europe/Paris",
    "year": "an integer from 1 to 9999",
    "weekend": "keep, before or after",
    "offset_days": f"an integer from -{MAX_OFFSET_DAYS} to {MAX_OFFSET_DAYS}",
}
_is_code = lru_cache(maxsize=64)(is_code)


class InvalidLine(ValueError):
    """The line is not valid. The message names the field and what was expected."""


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Add nothing: the rules come from HEYDAY_SEND_AT and HEYDAY_LEAP_DAY."""


def run(_args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Answer all of standard input. The exit code is 0, because an error line is an answer. Raises BadConfiguration."""
    at, leap_day = read_calendar(environment)
    answer_all(sys.stdin.buffer, sys.stdout.buffer, at=at, leap_day=leap_day)
    return OK


def answer_all(stdin: BinaryIO, stdout: BinaryIO, *, at: time, leap_day: LeapDay) -> None:
    """Answer every line of `stdin` on `stdout`. Raises BrokenPipeError when the reader has left."""
    filter_lines(_blocks(stdin), stdout, at=at, leap_day=leap_day)


def filter_lines(pieces: Iterable[bytes], out: BinaryIO, *, at: time, leap_day: LeapDay) -> None:
    """Answer the lines of an input that comes in pieces, cut at any byte. Flush after each piece."""
    for lines in _lines(pieces):
        left = memoryview(b"".join([answer(line, at, leap_day) for line in lines]))
        while left:  # an unbuffered stream (`python -u`) may take less than it is given
            left = left[out.write(left) :]
        out.flush()


def answer(line: bytes, at: time, leap_day: LeapDay) -> bytes:
    """The output line for one input line."""
    try:
        day, timezone, year, weekend, offset_days = _parse(line)
        found = occurrence(day, timezone, year, at=at, leap_day=leap_day, weekend=weekend, offset_days=offset_days)
    except (InvalidLine, OutOfRange) as error:
        return _error(str(error))
    except UnknownZone as error:
        return _error(f"timezone: {error}")
    body = orjson.dumps(
        {"send_at": found.send_at, "local": found.local, "rule": found.rule}, option=orjson.OPT_APPEND_NEWLINE
    )
    return body.replace(b'+00:00"', b'Z"', 1)  # the first is that of send_at; local keeps its offset, always


def _parse(line: bytes) -> tuple[date, str, int, Weekend, int]:
    """Date, zone, year, weekend rule and offset of a line. Further fields are ignored. Raises InvalidLine."""
    if len(line) > LONGEST_LINE:
        raise InvalidLine(f"line too long: expected at most {LONGEST_LINE} bytes")
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidLine(f"not JSON: {error}" if line.strip() else "blank line: expected a JSON object") from error
    if type(fields) is not dict:
        raise InvalidLine(f"expected a JSON object, not {_shown(fields)}")

    try:
        occasion, text, timezone, year = fields["occasion"], fields["date"], fields["timezone"], fields["year"]
    except KeyError as error:
        field = error.args[0]
        raise InvalidLine(f"{field}: missing, expected {_EXPECTED[field]}") from None
    if type(occasion) is not str or not _is_code(occasion):
        raise _wrong("occasion", occasion)
    if type(text) is not str:
        raise _wrong("date", text)
    if type(timezone) is not str:
        raise _wrong("timezone", timezone)
    if type(year) is not int:  # which leaves out true and false
        raise _wrong("year", year)
    weekend, offset_days = fields.get("weekend", Weekend.KEEP), fields.get("offset_days", 0)
    if type(offset_days) is not int or abs(offset_days) > MAX_OFFSET_DAYS:
        raise _wrong("offset_days", offset_days)
    if weekend is not Weekend.KEEP:
        try:
            weekend = Weekend(weekend)
        except ValueError:
            raise _wrong("weekend", weekend) from None
    try:
        return stored_date(parse_day(text)), timezone, year, weekend, offset_days
    except ValueError:
        raise _wrong("date", text) from None


def _wrong(field: str, value: object) -> InvalidLine:
    return InvalidLine(f"{field}: expected {_EXPECTED[field]}, not {_shown(value)}")


def _shown(value: object) -> str:
    """A JSON value as text, cut to 64 characters."""
    if isinstance(value, (list, dict)):
        return "an array" if isinstance(value, list) else "an object"
    text = orjson.dumps(value).decode()
    return text if len(text) <= 64 else f"{text[:61]}..."


def _error(text: str) -> bytes:
    return orjson.dumps({"error": text}, option=orjson.OPT_APPEND_NEWLINE)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the input as it arrives, at most a block at a time. `read` would wait for a whole block."""
    read = getattr(stream, "read1", stream.read)
    while block := read(BLOCK_SIZE):
        yield block


def _lines(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines that each piece completes, without line ends and without a byte order mark at the start."""
    rest = b""
    for piece in _without_byte_order_mark(pieces):
        *lines, rest = (rest + piece).split(b"\n")
        # Of a line that is too long, keep just enough to see that it is.
        rest = rest[: LONGEST_LINE + 1]
        if lines:
            yield lines
    if rest:
        yield [rest]


def _without_byte_order_mark(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same pieces without the mark that Windows programs put at the start of a UTF-8 file."""
    start = b""
    rest = iter(pieces)
    for piece in rest:
        start += piece
        # An input of fewer bytes may still become the mark. Anything else is passed on at once.
        if len(start) >= len(codecs.BOM_UTF8) or not codecs.BOM_UTF8.startswith(start):
            break
    yield start.removeprefix(codecs.BOM_UTF8)
    yield from rest
