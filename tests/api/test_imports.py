"""The import: every line gets its result, in order, whatever is wrong with others, and memory stays as it is."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import orjson
import pytest
from aiohttp import ClientPayloadError
from structlog.testing import capture_logs

from actors.api import imports
from actors.api.lines import MOST_LINE
from service.ports import Unavailable
from tests.api.conftest import Api, Serve, a_user

IMPORT = "/api/v1/users:import"
NDJSON = {"Content-Type": "application/x-ndjson"}


async def run(api: Api, body: Any, **headers: str) -> list[dict[str, Any]]:
    async with api.client.post(IMPORT, data=body, headers={**NDJSON, **headers}) as response:
        assert response.status == 200, await response.text()
        return [orjson.loads(line) async for line in response.content]


def document(*users: dict[str, object]) -> bytes:
    return b"".join(orjson.dumps(user) + b"\n" for user in users)


async def test_every_line_has_its_result_in_order(api: Api) -> None:
    """A bad row stops no other, and is named by its line."""
    good = a_user(birthdayDate="1990-03-10")
    body = (
        document(good, a_user(firstName=""))
        + b"\nnot json\n"
        + b'{"firstName": "' + b"x" * MOST_LINE + b'"}\n'
        + document({**a_user(), "email": str(good["email"]).upper()}, a_user(birthdayDate="2999-01-01"))
        + orjson.dumps(a_user(firstName="最後"))
    )  # fmt: skip

    results = await run(api, body)

    assert [(r["line"], r["status"]) for r in results] == [
        (1, 201), (2, 422), (4, 400), (5, 413), (6, 409), (7, 422), (8, 201),
    ]  # fmt: skip
    assert results[1]["errors"][0]["field"] == "firstName"
    assert results[4]["type"] == "/problems/email-taken"
    assert (await api.call("GET", f"/api/v1/users/{results[0]['id']}"))[1]["birthdayDate"] == "1990-03-10"
    assert (await api.call("GET", f"/api/v1/users/{results[6]['id']}"))[1]["firstName"] == "最後"


async def test_an_import_sent_again_stores_nobody_twice(api: Api) -> None:
    """A client whose connection broke may simply send it again."""
    body = document(*(a_user() for _ in range(700)))

    first = await run(api, body)
    again = await run(api, body)

    assert {r["status"] for r in first} == {201}
    assert {r["status"] for r in again} == {409}
    assert len(first) == len(again) == 700


async def test_imported_users_are_planned_like_others(api: Api) -> None:
    """Planning may have passed them already."""
    now = api.parts.clock.now()
    assert now is not None
    await api.database.fetch("-- announce\nupdate planning set up_to = business_now() + interval '300 days'")
    tomorrow = now.date().replace(year=1990, day=1, month=now.month % 12 + 1).isoformat()

    results = await run(api, document(a_user(birthdayDate=tomorrow, timezone="Asia/Tokyo")))

    _, page = await api.call("GET", f"/api/v1/users/{results[0]['id']}/messages")
    assert [(m["status"], m["timezone"]) for m in page["items"]] == [("scheduled", "Asia/Tokyo")]


async def test_a_client_that_reads_only_at_the_end_gets_every_result(api: Api) -> None:
    """Most HTTP libraries send everything first; a server that waits for its reader would wait for ever."""
    rows = 6_000
    bad = b'{"firstName": "' + b"x" * 200 + b'"}\n'
    body = bad * rows
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", urlsplit(api.url).port))
    head = f"POST {IMPORT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n"

    async with asyncio.timeout(60):
        await loop.sock_sendall(client, head.encode() + b"Connection: close\r\n\r\n" + body)
        received = bytearray()
        while piece := await loop.sock_recv(client, 65536):
            received += piece
    client.close()

    assert received.count(b'"status":422') == rows


async def test_a_body_that_is_cut_off_keeps_what_came(api: Api) -> None:
    """Rows stand alone; the client sends the import again, and is told which are there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(api.url).port)
    writer.write(f"POST {IMPORT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n".encode())
    writer.write(b"Content-Length: 100000\r\n\r\n" + document(a_user(), a_user()))

    assert b" 200 " in await reader.readline()
    writer.close()

    while len((await api.call("GET", "/api/v1/users"))[1]["items"]) < 2:  # noqa: ASYNC110 - only the rows tell
        await asyncio.sleep(0)


async def test_an_outage_in_the_middle_is_told_row_by_row(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer has begun with 200: the lines must say it."""

    class Away:
        async def create_many(self, _rows: object) -> list[None]:
            raise Unavailable("postgres", "away")

    monkeypatch.setattr(imports, "TRIES", 1)
    api = await serve(users=Away())

    results = await run(api, document(a_user(), a_user(firstName="")))

    assert [r["status"] for r in results] == [503, 422]


class Waiting:
    """Stores a batch not before the next is there to be stored, or a moment has passed."""

    def __init__(self) -> None:
        self.under_way = self.most = 0
        self.another = asyncio.Event()

    async def create_many(self, rows: list[object]) -> list[UUID]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way > 1:
            self.another.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await self.another.wait()
        self.under_way -= 1
        return [uuid4() for _ in rows]


@pytest.mark.parametrize(("address", "at_once"), [("ADA@example.com", 1), ("bob@example.com", 2)])
async def test_batches_are_stored_two_at_a_time_unless_they_have_an_address_in_common(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, address: str, at_once: int
) -> None:
    """While PostgreSQL commits one it works on the other; but of two rows with one address the first wins."""
    users = Waiting()
    monkeypatch.setattr(imports, "ROWS_AT_ONCE", 1)
    api = await serve(users=users)

    results = await run(api, document(a_user(email="ada@example.com"), a_user(email=address)))

    assert [r["status"] for r in results] == [201, 201]
    assert users.most == at_once


async def test_a_bug_while_rows_are_stored_ends_the_answer_and_is_told_as_what_it_is(serve: Serve) -> None:
    """The answer has begun with 200: that it ends without an end is all that can be said."""

    class Broken:
        async def create_many(self, _rows: object) -> list[None]:
            raise ZeroDivisionError

    api = await serve(users=Broken())

    with capture_logs() as said, pytest.raises(ClientPayloadError):
        await run(api, document(*(a_user() for _ in range(2_000))))

    assert [line["log_level"] for line in said if line["event"] == "request_failed"] == ["error"]
    assert (await api.call("GET", "/health/live"))[0] == 200


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
async def test_an_import_that_is_no_ndjson_is_refused(api: Api, content_type: str) -> None:
    """Before anything is read."""
    status, _ = await api.call("POST", IMPORT, data=json.dumps(a_user()), headers={"Content-Type": content_type})

    assert status == 415


async def test_imports_beyond_what_a_node_does_at_once_are_refused(api: Api) -> None:
    """Each has a connection and a thread of work; two keep the database busy."""
    release = asyncio.Event()
    begun = asyncio.Semaphore(0)

    async def slow() -> AsyncIterator[bytes]:
        yield document(a_user())
        begun.release()
        await release.wait()

    running = [asyncio.create_task(run(api, slow())) for _ in range(2)]
    for _ in running:
        await begun.acquire()
    while (answer := await api.call("POST", IMPORT, headers=NDJSON))[0] == 200:  # noqa: ASYNC110 - until both run
        await asyncio.sleep(0)
    release.set()

    assert answer[0] == 503
    assert [len(results) for results in await asyncio.gather(*running)] == [1, 1]
