"""The lines of requests are written together, and each has the fields of its own request."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from service.api.http.request_log import IDS_PER_READ, RequestIds, RequestLog
from service.telemetry import logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that is logged, as JSON lines."""
    stream = io.StringIO()
    before = logs._write_batch, structlog.get_config(), logging.getLogger().handlers[:]
    logs.configure("info", "json", stream=stream, node="n-1")
    yield stream
    logs._write_batch = before[0]
    structlog.configure(**before[1])
    logging.getLogger().handlers[:] = before[2]
    logs._fields.clear()


async def _request(log: RequestLog, request_id: str) -> None:
    with structlog.contextvars.bound_contextvars(request_id=request_id, only_here=request_id):
        log.add({"event": "http_request", "request_id": request_id})


async def test_no_line_has_a_field_of_another_request(written: io.StringIO) -> None:
    """All are written by a timer that the first request started."""
    log = RequestLog()

    await asyncio.gather(*(_request(log, f"r-{number}") for number in range(3)))
    async with asyncio.timeout(10):
        while not written.getvalue():  # noqa: ASYNC110 - the log tells
            await asyncio.sleep(0.002)

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(line["request_id"], line["node"], line.get("only_here")) for line in lines] == [
        ("r-0", "n-1", None),
        ("r-1", "n-1", None),
        ("r-2", "n-1", None),
    ]


async def test_a_flush_writes_what_waits_once(written: io.StringIO) -> None:
    """A node that ends flushes; the timer then has nothing to write."""
    log = RequestLog()
    await _request(log, "r-0")

    log.flush()
    log.flush()

    assert written.getvalue().count("\n") == 1


def test_request_ids_are_different_and_of_128_bits() -> None:
    """Ids are cut from a longer text."""
    ids = RequestIds()

    made = [ids.next() for _ in range(2 * IDS_PER_READ + 1)]

    assert len(set(made)) == len(made)
    assert all(len(bytes.fromhex(one)) == 16 for one in made)
