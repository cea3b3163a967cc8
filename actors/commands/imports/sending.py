"""Sends rows to the API, and reads the result of each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from actors.commands.errors import CommandFailed

ROWS_PER_REQUEST = 20_000
"""Rows of one request: they are kept until their results are there."""

LINES_AT_ONCE = 500
"""Lines in one chunk of a body."""

TRIES = 10
"""Tries of a request while the node has no room for another import."""

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection."""

SILENCE_TIMEOUT = 120.0
"""Seconds without a result after which the import has failed."""

_LATER = frozenset({429, 503})

_NEVER_TAKEN = (aiohttp.ClientConnectorError, aiohttp.ClientResponseError, aiohttp.InvalidURL)
"""No connection, an answer that is not HTTP, and an address that is none."""


@dataclass(frozen=True, slots=True)
class RowResult:
    """The result of a row: `created`, `updated`, `unchanged`, or `refused` with a reason."""

    outcome: str
    reason: str = ""


class NotBegun(CommandFailed):
    """The API has taken no row of this request, and takes none when it is repeated as it is."""


class ImportClient:
    """One import. Every method raises CommandFailed when the API cannot be used."""

    def __init__(self, url: str, key: str | None, *, updates: bool) -> None:
        self._address = f"{url.rstrip('/')}/api/v1/users:import?onConflict={'update' if updates else 'refuse'}"
        self._headers = {"Content-Type": "application/x-ndjson"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT, sock_read=SILENCE_TIMEOUT)

    async def send(self, documents: Sequence[bytes]) -> AsyncIterator[RowResult]:
        """Yield the results of the documents, in order. Raises CommandFailed if they end early."""
        given, content_type = 0, ""
        try:
            async with aiohttp.ClientSession(timeout=self._timeout) as http:
                response = await self._begin(http, documents)
                content_type = response.content_type
                async with response:
                    async for line in response.content:
                        result = _document(line)
                        if "line" not in result or result["line"] > len(documents):
                            raise CommandFailed(f"the import ended early: {result.get('detail')}")
                        given += 1
                        yield _result(result)
        except _NEVER_TAKEN as error:
            raise NotBegun(f"the API cannot be reached: {_sentence(error)}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if given < len(documents):
                raise CommandFailed(f"the API cannot be reached: {_sentence(error)}") from error
        except (ValueError, KeyError, TypeError) as error:
            # A proxy may have written the JSON of an API of heyday again, which has taken rows.
            kind = CommandFailed if "json" in content_type else NotBegun
            raise kind("this is no API of heyday: expected the result of a row on each line") from error
        if given < len(documents):
            raise CommandFailed(f"the answer ended early: {len(documents) - given} rows have no result")

    async def _begin(self, http: aiohttp.ClientSession, documents: Sequence[bytes]) -> aiohttp.ClientResponse:
        for left in reversed(range(TRIES)):
            response = await http.post(
                self._address, data=_body(documents), headers=self._headers, allow_redirects=False
            )
            if response.status == 200:
                return response
            problem = await _problem(response)
            wait = response.headers.get("Retry-After", "1")
            response.release()
            if response.status not in _LATER or not left:
                remedy = " Give the key by --key-file or HEYDAY_API_KEY." if response.status == 401 else ""
                kind = CommandFailed if response.status in _LATER or response.status >= 500 else NotBegun
                raise kind(f"the API answered {response.status}: {problem}{remedy}")
            await asyncio.sleep(min(float(wait) if wait.isdecimal() else 1.0, 30.0))
        raise AssertionError("the last try returns or raises")


async def _body(documents: Sequence[bytes]) -> AsyncIterator[bytes]:
    for start in range(0, len(documents), LINES_AT_ONCE):
        yield b"".join(documents[start : start + LINES_AT_ONCE])


async def _problem(response: aiohttp.ClientResponse) -> str:
    try:
        found: dict[str, Any] = json.loads(await response.content.read(100_000))
        return str(found["detail"])
    except (ValueError, KeyError, TypeError):
        return response.reason or "no reason"


def _document(line: bytes) -> dict[str, Any]:
    """The document of a line, which is the result of a row, or the problem that ended the import. Raises ValueError."""
    found = json.loads(line)
    if not isinstance(found, dict) or "status" not in found:
        raise ValueError(line)
    return found


def _result(result: dict[str, Any]) -> RowResult:
    if result["status"] in (200, 201):
        return RowResult(result.get("result", "created"))
    errors: list[dict[str, str]] = result.get("errors", [])
    reasons = [f"{error['field']}: {error['message']}" for error in errors] or [str(result.get("detail", ""))]
    return RowResult("refused", " ".join(reasons))


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__


def chunks(rows: Iterator[Any]) -> Iterator[list[Any]]:
    """Split the rows into parts, one for each request."""
    part = []
    for row in rows:
        part.append(row)
        if len(part) == ROWS_PER_REQUEST:
            yield part
            part = []
    if part:
        yield part
