"""The filter behind `heyday when`: one line of NDJSON with a question in, one line of NDJSON with the answer out.

Every line of the input gets exactly one answer, in order; blank and broken lines get an error. So the two files
correspond line by line, whatever is in them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from datetime import date, time
from functools import lru_cache
from typing import BinaryIO

import orjson

from service.domain.calendar import LeapDay, OutOfRange, occurrence
from service.domain.occasions import is_code
from service.domain.zones import UnknownZone

BLOCK = 256 * 1024
"""Bytes asked of the input at once. A pipe that trickles gives less, and is answered at once."""

LONGEST_LINE = 64 * 1024
"""Bytes of the longest line that is read. A longer one is an error, so that memory stays bounded."""

_EXPECTED = {
    "occasion": "a code such as birthday or anniversary",
    "date": "a day of the calendar as YYYY-MM-DD",
    "timezone": "an IANA name such as Europe/Paris",
    "year": "an integer from 1 to 9999",
}
_is_code = lru_cache(maxsize=64)(is_code)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class InvalidLine(ValueError):
    """The line is not a question that has an answer; the text says which field is wrong and what was expected."""


def run(stdin: BinaryIO, stdout: BinaryIO, *, at: time, leap_day: LeapDay) -> int:
    """Answer all of `stdin` on `stdout` and return the exit code, which is 0: invalid lines are answers, too.

    A reader that has seen enough (`| head`) is no error either.
    """
    try:
        filter_lines(_blocks(stdin), stdout, at=at, leap_day=leap_day)
    except BrokenPipeError:
        # What the stream still holds would be flushed, and fail again with a warning, when the interpreter exits.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stdout.fileno())
        os.close(devnull)
    return 0


def filter_lines(pieces: Iterable[bytes], out: BinaryIO, *, at: time, leap_day: LeapDay) -> None:
    """Answer the lines of an input that comes in pieces, cut anywhere; what a piece completes is flushed with it."""
    for lines in _lines(pieces):
        left = memoryview(b"".join([answer(line, at, leap_day) for line in lines]))
        while left:  # an unbuffered stream (`python -u`) may take less than it is given
            left = left[out.write(left) :]
        out.flush()


def answer(line: bytes, at: time, leap_day: LeapDay) -> bytes:
    """The answer to one line, as a line."""
    try:
        day, timezone, year = _question(line)
        found = occurrence(day, timezone, year, at=at, leap_day=leap_day)
    except (InvalidLine, OutOfRange) as error:
        return _error(str(error))
    except UnknownZone as error:
        return _error(f"timezone: {error}")
    body = orjson.dumps(
        {"send_at": found.send_at, "local": found.local, "rule": found.rule}, option=orjson.OPT_APPEND_NEWLINE
    )
    return body.replace(b'+00:00"', b'Z"', 1)  # the first is that of send_at; local keeps its offset, always


def _question(line: bytes) -> tuple[date, str, int]:
    """What a line asks. Fields it has beyond the four are ignored. Raises InvalidLine."""
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
    if type(text) is not str or not _DATE.fullmatch(text):
        raise _wrong("date", text)
    if type(timezone) is not str:
        raise _wrong("timezone", timezone)
    if type(year) is not int:  # which leaves out true and false
        raise _wrong("year", year)
    try:
        return date.fromisoformat(text), timezone, year
    except ValueError:
        raise _wrong("date", text) from None


def _wrong(field: str, value: object) -> InvalidLine:
    return InvalidLine(f"{field}: expected {_EXPECTED[field]}, not {_shown(value)}")


def _shown(value: object) -> str:
    """A value of JSON for a person to recognise."""
    if isinstance(value, (list, dict)):
        return "an array" if isinstance(value, list) else "an object"
    text = orjson.dumps(value).decode()
    return text if len(text) <= 64 else f"{text[:61]}..."


def _error(text: str) -> bytes:
    return orjson.dumps({"error": text}, option=orjson.OPT_APPEND_NEWLINE)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """What is there, up to a block of it, as soon as it is there: `read` would wait for the whole block."""
    read = getattr(stream, "read1", stream.read)
    while block := read(BLOCK):
        yield block


def _lines(pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The lines that each piece completes, without their ends."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        # Of a line that is too long, enough is kept to tell that it is.
        rest = rest[: LONGEST_LINE + 1]
        if lines:
            yield lines
    if rest:
        yield [rest]
