"""Lines of a streamed body, within bounds: of a line too long nothing is kept, whatever its length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import StreamReader, web

MOST_LINE = 16 * 1024
"""Bytes of a line."""

IDLE_WITHIN = 30.0
"""Seconds within which more of the body must arrive."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its number, from 1; `text` is None when it was too long."""

    number: int
    text: bytes | None


class BodyEnded(Exception):
    """The body stopped arriving before its end."""


async def lines(body: StreamReader) -> AsyncIterator[Line]:
    """The lines that are not blank. Raises BodyEnded. Memory: a line and what has arrived with it."""
    number, kept, too_long = 1, bytearray(), False
    while chunk := await _more(body):
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            kept += part
            if too_long or len(kept) > MOST_LINE:
                yield Line(number, None)
            elif kept.strip():
                yield Line(number, bytes(kept))
            number, too_long = number + 1, False
            kept.clear()
        kept += rest
        if len(kept) > MOST_LINE:
            too_long = True
            kept.clear()
    if too_long or kept.strip():
        yield Line(number, None if too_long else bytes(kept))


async def _more(body: StreamReader) -> bytes:
    """What has arrived; nothing at the end."""
    try:
        async with asyncio.timeout(IDLE_WITHIN):
            return await body.readany()
    except TimeoutError as error:
        raise BodyEnded(f"nothing more arrived within {IDLE_WITHIN:g} s") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise BodyEnded("the body was cut off, or could not be decompressed") from error
