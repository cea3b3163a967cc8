"""Lines of a streamed body, within bounds of size, number and time.

The bounds keep one client from holding a slot for ever, and one request from holding up the event loop: the loop gets a
turn after every few kilobytes, also where all of them are blank lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import StreamReader, web

from service.api.http.body import BYTE_ORDER_MARK, parse
from service.api.http.problems import MALFORMED, TIMEOUT, TOO_LARGE, Kind
from service.turns import Turns

MAX_LINE_BYTES = 16 * 1024
"""Bytes of a line. Of a longer one nothing is kept."""

MAX_LINES = 1_000_000
"""Lines of a body, blank ones included."""

MAX_STREAM_BYTES = 512 * 1024 * 1024
"""Bytes of a body."""

RATE_WINDOW = 30.0
"""Seconds of waiting for the client after which its rate is looked at."""

MIN_WINDOW_BYTES = 8 * 1024
"""Bytes that must have arrived in that time."""

STREAM_TIMEOUT = 3600.0
"""Seconds for the whole body."""

SLICE_BYTES = 4 * 1024
"""Bytes that are split into lines at once."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its number, from 1; `text` is None when it was too long."""

    number: int
    text: bytes | None


class BodyEnded(Exception):
    """Reading ended before the end of the body; `kind` says whose doing it was."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


async def read_lines(body: StreamReader) -> AsyncIterator[Line]:
    """The lines that are not blank. A byte order mark before a line is ignored. Raises BodyEnded."""
    number, kept, too_long = 1, bytearray(), False
    async for piece in _pieces(body):
        if not kept and not too_long and piece.isspace():
            # Blank lines cost a client next to nothing, so they may cost the node no more.
            number += piece.count(b"\n")
            kept += piece.rpartition(b"\n")[2]
            if number > MAX_LINES:
                raise _too_many_lines()
            continue
        *whole, rest = piece.split(b"\n")
        for part in whole:
            kept += part
            if too_long or len(kept) > MAX_LINE_BYTES:
                yield Line(number, None)
            elif text := _text(kept):
                yield Line(number, text)
            number, too_long = number + 1, False
            kept.clear()
        if number > MAX_LINES:
            raise _too_many_lines()
        kept += rest
        if len(kept) > MAX_LINE_BYTES:
            too_long = True
            kept.clear()
    if too_long:
        yield Line(number, None)
    elif text := _text(kept):
        yield Line(number, text)


def parse_line(text: bytes) -> Any:
    """Parse a line. Raises Problem."""
    return parse(text, name="NDJSON has one JSON object on each line, and this line")


def _too_many_lines() -> BodyEnded:
    return BodyEnded(TOO_LARGE, f"A body has {MAX_LINES} lines at most.")


def _text(line: bytearray) -> bytes:
    """The line without a byte order mark; empty when it is blank."""
    text = bytes(line).removeprefix(BYTE_ORDER_MARK)
    return text if text.strip() else b""


async def _pieces(body: StreamReader) -> AsyncIterator[bytes]:
    """The body in small pieces, with turns of the event loop between them. Raises BodyEnded."""
    loop, turns = asyncio.get_running_loop(), Turns()
    ends_at = loop.time() + STREAM_TIMEOUT
    received = in_window = 0
    waited = 0.0
    while True:
        began = loop.time()
        if began >= ends_at:
            raise BodyEnded(TIMEOUT, f"A body has {STREAM_TIMEOUT:g} s to arrive.")
        chunk = await _next_chunk(body, RATE_WINDOW - waited)
        if not chunk:
            return
        # Time in which this side did not read is not the client's.
        waited += loop.time() - began
        in_window += len(chunk)
        if in_window >= MIN_WINDOW_BYTES:
            waited, in_window = 0.0, 0
        received += len(chunk)
        if received > MAX_STREAM_BYTES:
            raise BodyEnded(TOO_LARGE, f"A body has {MAX_STREAM_BYTES} bytes at most.")
        for start in range(0, len(chunk), SLICE_BYTES):
            if body.exception() is not None:  # the client has left: the results have no reader
                raise _cut_off()
            yield chunk[start : start + SLICE_BYTES]
            await turns.give()


async def _next_chunk(body: StreamReader, within: float) -> bytes:
    """The bytes that have arrived, and nothing at the end of the body. Raises BodyEnded."""
    try:
        async with asyncio.timeout(max(within, 0.0)):
            return await body.readany()
    except TimeoutError as error:
        reason = f"Fewer than {MIN_WINDOW_BYTES} bytes arrived within {RATE_WINDOW:g} s."
        raise BodyEnded(TIMEOUT, reason) from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise _cut_off() from error


def _cut_off() -> BodyEnded:
    return BodyEnded(MALFORMED, "The body was cut off.")
