"""The import: each line gets its result, in order. No line, client or value stops others."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import orjson
import pytest
from aiohttp import ClientError, ClientPayloadError, StreamReader
from aiohttp.base_protocol import BaseProtocol
from structlog.testing import capture_logs

from service import turns
from service.api.http import connections, ndjson, streaming
from service.api.http.ndjson import MAX_LINE_BYTES, SLICE_BYTES, BodyEnded, read_lines
from service.api.imports import slots
from service.api.routes import imports, suppressions
from service.api_keys import parse_api_keys
from service.ports import Unavailable
from service.settings import Secret
from tests.service.api.conftest import Api, Serve, a_user

IMPORT = "/api/v1/users:import"
SUPPRESSIONS = "/api/v1/suppressions:import"
NDJSON = {"Content-Type": "application/x-ndjson"}


async def run(
    api: Api, body: Any, *, path: str = IMPORT, on_begun: Callable[[], object] = lambda: None, **headers: str
) -> list[dict[str, Any]]:
    """Import, and return the results. `on_begun` is called when the answer begins; the import then has its slot."""
    async with api.client.post(path, data=body, headers={**NDJSON, **headers}) as response:
        assert response.status == 200, await response.text()
        on_begun()
        return [orjson.loads(line) async for line in response.content]


def document(*users: dict[str, object]) -> bytes:
    return b"".join(orjson.dumps(user) + b"\n" for user in users)


async def test_every_line_has_its_result_in_order(api: Api) -> None:
    """A bad row stops no other, and its result has its line."""
    good = a_user(birthdayDate="1990-03-10")
    body = (
        document(good, a_user(firstName=""))
        + b"\nnot json\n"
        + b'{"firstName": "' + b"x" * MAX_LINE_BYTES + b'"}\n'
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


async def test_a_json_array_is_refused_with_what_is_expected(api: Api) -> None:
    results = await run(api, orjson.dumps([a_user(), a_user()], option=orjson.OPT_INDENT_2))

    assert {one["status"] for one in results} <= {400, 422}
    assert results[0]["detail"].startswith("NDJSON has one JSON object on each line")


async def test_an_import_sent_again_stores_no_user_twice(api: Api) -> None:
    """A client whose connection broke can send it again."""
    body = document(*(a_user() for _ in range(700)))

    first = await run(api, body)
    again = await run(api, body)

    assert {r["status"] for r in first} == {201}
    assert {r["status"] for r in again} == {409}
    assert len(first) == len(again) == 700


async def test_imported_users_are_planned_like_others(api: Api) -> None:
    """Planning may have passed their day already."""
    now = api.dependencies.clock.now()
    assert now is not None
    await api.database.fetch("-- announce\nupdate planning set planned_until = business_now() + interval '300 days'")
    tomorrow = now.date().replace(year=1990, day=1, month=now.month % 12 + 1).isoformat()

    results = await run(api, document(a_user(birthdayDate=tomorrow, timezone="Asia/Tokyo")))

    _, page = await api.call("GET", f"/api/v1/users/{results[0]['id']}/messages")
    assert [(m["status"], m["timezone"]) for m in page["items"]] == [("scheduled", "Asia/Tokyo")]


async def test_a_client_that_reads_only_at_the_end_gets_every_result(api: Api) -> None:
    """Most HTTP libraries send everything first. A server that waited for its reader would wait for ever."""
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

    assert re.sub(rb"\r\n[0-9a-f]+\r\n", b"", received).count(b'"status":422') == rows


async def test_a_body_that_is_cut_off_keeps_what_came(api: Api) -> None:
    """Rows are independent. The client sends the import again, and learns which rows exist."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(api.url).port)
    writer.write(f"POST {IMPORT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n".encode())
    writer.write(b"Content-Length: 100000\r\n\r\n" + document(a_user(), a_user()))

    assert b" 200 " in await reader.readline()
    writer.close()

    while len((await api.call("GET", "/api/v1/users"))[1]["items"]) < 2:  # noqa: ASYNC110 - only the rows tell
        await asyncio.sleep(0)


async def test_an_outage_in_the_middle_is_told_row_by_row(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer has begun with 200, so the lines must report it."""

    class Away:
        async def new_ids(self, _count: int) -> list[None]:
            raise Unavailable("postgres", "away")

    monkeypatch.setattr(imports, "TRIES", 1)
    api = await serve(users=Away())

    results = await run(api, document(a_user(), a_user(firstName="")))

    assert [r["status"] for r in results] == [503, 422]


class Waiting:
    """Stores a batch when the next one is ready, or after a moment."""

    def __init__(self, patience: float) -> None:
        self.under_way = self.most = 0
        self._patience = patience
        self.another = asyncio.Event()

    async def new_ids(self, count: int) -> list[UUID]:
        return [uuid4() for _ in range(count)]

    async def create_many(self, rows: list[object], **_options: object) -> list[UUID]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way > 1:
            self.another.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await self.another.wait()
        self.under_way -= 1
        return [uuid4() for _ in rows]


@pytest.mark.parametrize(("address", "at_once"), [("ADA@example.com", 1), ("bob@example.com", 2)])
async def test_batches_are_stored_two_at_a_time_unless_they_have_an_address_in_common(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, address: str, at_once: int
) -> None:
    """PostgreSQL works on one while it commits the other. Of two rows with one address, the first must win."""
    users = Waiting(patience=0.1 if at_once == 1 else 30.0)
    monkeypatch.setattr(imports, "BATCH_ROWS", 1)
    api = await serve(users=users)

    results = await run(api, document(a_user(email="ada@example.com"), a_user(email=address)))

    assert [r["status"] for r in results] == [201, 201]
    assert users.most == at_once


async def test_a_bug_while_rows_are_stored_ends_the_answer_and_is_told_as_what_it_is(serve: Serve) -> None:
    """The answer has begun with 200, so only a missing end can show the failure."""

    class Broken:
        async def new_ids(self, _count: int) -> list[None]:
            raise ZeroDivisionError

    api = await serve(users=Broken())

    with capture_logs() as said, pytest.raises(ClientPayloadError):
        await run(api, document(*(a_user() for _ in range(2_000))))

    assert [line["log_level"] for line in said if line["event"] == "request_failed"] == ["error"]
    assert (await api.call("GET", "/health/live"))[0] == 200


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
async def test_an_import_that_is_no_ndjson_is_refused(api: Api, content_type: str) -> None:
    """The refusal comes before the body is read."""
    status, _ = await api.call("POST", IMPORT, data=json.dumps(a_user()), headers={"Content-Type": content_type})

    assert status == 415


def import_head(length: int, path: str = IMPORT) -> bytes:
    """The head of an import with this length."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def running_imports(api: Api, count: int, release: asyncio.Event, **headers: str) -> list[asyncio.Task[Any]]:
    """Imports that have their slots, and end when released."""
    begun = asyncio.Semaphore(0)

    async def slow() -> AsyncIterator[bytes]:
        yield document(a_user())
        await release.wait()

    tasks = [asyncio.create_task(run(api, slow(), on_begun=begun.release, **headers)) for _ in range(count)]
    async with asyncio.timeout(30):
        for _ in tasks:
            await begun.acquire()
    return tasks


@pytest.mark.parametrize("path", [IMPORT, SUPPRESSIONS])
async def test_one_key_cannot_take_the_import_slots_of_others(serve: Serve, path: str) -> None:
    """One byte every 25 s kept both slots of a node for ever. All imports share the slots."""
    keys = [Secret("a-key-of-16-chars"), Secret("another-key-of-16")]
    api = await serve({"api_keys": parse_api_keys(",".join(keys))})
    mine, other = ({"Authorization": f"Bearer {key}"} for key in keys)
    release = asyncio.Event()
    running = await running_imports(api, slots.MAX_IMPORTS_PER_CLIENT, release, **mine)

    refused = await api.call("POST", path, headers={**NDJSON, **mine})
    others = await run(api, b"{}\n", path=path, Authorization=other["Authorization"])
    release.set()

    assert refused[0] == 503
    assert [result["status"] for result in others] == [422]
    assert [len(results) for results in await asyncio.gather(*running)] == [1] * slots.MAX_IMPORTS_PER_CLIENT


async def test_imports_beyond_what_a_node_does_at_once_are_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each uses a connection and processor time, and a few keep the database busy."""
    monkeypatch.setattr(slots, "MAX_IMPORTS", 2)
    monkeypatch.setattr(slots, "MAX_IMPORTS_PER_CLIENT", 3)
    api = await serve()
    release = asyncio.Event()
    running = await running_imports(api, 2, release)

    refused = await api.call("POST", IMPORT, headers=NDJSON)
    release.set()

    assert refused[0] == 503
    assert [len(results) for results in await asyncio.gather(*running)] == [1, 1]


async def test_an_import_that_arrives_too_slowly_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a slow client keeps its slot for ever."""
    monkeypatch.setattr(ndjson, "RATE_WINDOW", 0.3)
    api = await serve()

    async def drip() -> AsyncIterator[bytes]:
        yield document(a_user())
        while True:
            await asyncio.sleep(0.05)
            yield b" "

    results: list[dict[str, Any]] = []
    with suppress(ClientError):
        async with asyncio.timeout(10), api.client.post(IMPORT, data=drip(), headers=NDJSON) as response:
            results.extend([orjson.loads(line) async for line in response.content])

    assert [result["status"] for result in results] == [201, 408]


async def test_an_import_ends_in_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast it arrives, its slot is free again in time."""
    monkeypatch.setattr(ndjson, "STREAM_TIMEOUT", 0.3)
    api = await serve()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b"{}\n"

    last: dict[str, Any] = {}
    with suppress(ClientError):
        async with asyncio.timeout(10), api.client.post(IMPORT, data=endless(), headers=NDJSON) as response:
            async for line in response.content:
                last = orjson.loads(line)

    assert last["status"] == 408


@pytest.mark.parametrize(
    ("bound", "value", "statuses"),
    [("MAX_LINES", 3, [422, 422, 422, 413]), ("MAX_STREAM_BYTES", 30, [413])],
)
async def test_an_import_has_a_bound_on_lines_and_bytes(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, statuses: list[int]
) -> None:
    """100 MB of blank lines cost time, too."""
    monkeypatch.setattr(ndjson, bound, value)
    api = await serve()

    results = await run(api, b"{}\n" * 3 + b"\n" * 100)

    assert [result["status"] for result in results] == statuses


@pytest.mark.parametrize("blank", [b"\n", b" \r\n", b"\t\n"])
async def test_blank_lines_are_counted_where_they_are_passed_over(api: Api, blank: bytes) -> None:
    """Blank lines of a slice are counted at once. Spaces at its end begin the next line."""
    results = await run(api, blank * 30_000 + b"   {}\n" + blank * 10_001 + b"{}\n")

    assert [result["line"] for result in results] == [30_001, 40_003]


async def test_a_line_of_spaces_is_as_long_as_any_other(api: Api) -> None:
    """Spaces before a row count towards the bound of a line."""
    (result,) = await run(api, b"\n" + b" " * (ndjson.MAX_LINE_BYTES + 1) + b"{}\n")

    assert (result["line"], result["status"]) == (2, 413)


@pytest.mark.parametrize(
    ("line", "count"),
    [(b"\n", 500_000), (b"{}\n", 2_000), (b'{"email": "' + "\u0300".encode() * 300 + b'@example.com"}\n', 1_000)],
)
async def test_the_event_loop_turns_while_an_import_is_read(api: Api, line: bytes, count: int) -> None:
    """102 kB of blank lines blocked a node for 8 s."""
    importing = asyncio.create_task(run(api, io.BytesIO(line * count)))
    slowest = 0.0
    while not importing.done():
        began = time.thread_time()  # processor time: the machine may be busy with something else
        await asyncio.sleep(0)
        slowest = max(slowest, time.thread_time() - began)

    assert len(await importing) == (0 if line == b"\n" else count)
    assert slowest < 0.5


@pytest.mark.parametrize(
    ("module", "name", "path"), [(imports, "read_row", IMPORT), (suppressions, "_read", SUPPRESSIONS)]
)
async def test_the_event_loop_turns_between_two_rows(
    api: Api, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, path: str
) -> None:
    """A slice holds 1,300 short rows. The check of each takes time, and a greeting must not wait for all of them."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    passed, seen = 0, []
    read: Callable[..., object] = getattr(module, name)

    def noted(*args: Any, **options: Any) -> object:
        seen.append(passed)
        return read(*args, **options)

    monkeypatch.setattr(module, name, noted)
    importing = asyncio.create_task(run(api, b"{}\n" * 100, path=path))
    while not importing.done():
        await asyncio.sleep(0)
        passed += 1

    assert len(await importing) == len(seen) == 100
    assert len(set(seen)) == 100


async def test_an_import_stops_when_its_client_has_left() -> None:
    """128 kB may have arrived by then. Reading all of it takes seconds, and the results have no reader."""
    body = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16, loop=asyncio.get_running_loop())
    body.feed_data(b"{}\n" * 40_000)
    lines = read_lines(body)
    read = [await anext(lines)]
    body.set_exception(ConnectionResetError())

    with pytest.raises(BodyEnded):
        read.extend([line async for line in lines])

    assert read[-1].number * len("{}\n") <= SLICE_BYTES


async def test_a_client_that_does_not_read_its_results_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 kB of requests made 258 MB of results, which stayed on disk and kept the slot."""
    monkeypatch.setattr(streaming, "MAX_WAITING", 100_000)
    monkeypatch.setattr(streaming, "CLIENT_READ_TIMEOUT", 0.2)
    monkeypatch.setattr(connections, "WRITE_TIMEOUT", 0.2)
    api = await serve()
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", urlsplit(api.url).port))

    with suppress(ConnectionError):
        async with asyncio.timeout(30):
            await loop.sock_sendall(client, import_head(90_000_000))
            while True:
                await loop.sock_sendall(client, b"{}\n" * 10_000)
    async with asyncio.timeout(30):
        while api.server.open_connections > 0:  # noqa: ASYNC110 - the table tells
            await asyncio.sleep(0.01)
    client.close()

    assert (await run(api, document(a_user())))[0]["status"] == 201


@pytest.mark.parametrize("path", [IMPORT, SUPPRESSIONS])
async def test_a_client_whose_results_wait_beyond_the_bound_is_told_so(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It gets the results that fit, and the last line reports the missing ones."""
    monkeypatch.setattr(streaming, "MAX_WAITING", 100_000)
    monkeypatch.setattr(streaming, "CLIENT_READ_TIMEOUT", 0.2)
    api = await serve()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", urlsplit(api.url).port))
    reader, writer = await asyncio.open_connection(sock=client, limit=4096)
    body = b"{}\n" * 20_000

    with capture_logs() as lines:
        writer.write(import_head(len(body), path) + body)
        async with asyncio.timeout(30):
            while not any(line["event"] == "import_ended" for line in lines):  # noqa: ASYNC110 - the log tells
                await asyncio.sleep(0.01)
    received = bytearray()
    async with asyncio.timeout(30):
        while not received.endswith(b"0\r\n\r\n"):
            piece = await reader.read(65536)
            assert piece, received[-300:]
            received += piece
    writer.close()

    assert 0 < received.count(b"invalid-fields") < 20_000
    assert b"/problems/too-large" in received[-600:]
    assert [line["event"] for line in lines if line["log_level"] == "error"] == []


@pytest.mark.parametrize("rows", [1, 3])
async def test_a_byte_order_mark_is_understood(api: Api, rows: int) -> None:
    """Windows writes one before the first line, and joined files have them in between."""
    mark = b"\xef\xbb\xbf"

    results = await run(api, b"".join(mark + document(a_user()) for _ in range(rows)) + mark + b"\r\n")
    one, _ = await api.call(
        "POST", "/api/v1/users", data=mark + document(a_user()), headers={"Content-Type": "application/json"}
    )

    assert [result["status"] for result in results] == [201] * rows
    assert one == 201


async def test_a_row_that_the_database_refuses_stops_no_other(api: Api) -> None:
    """Only the database knows its triggers and constraints. The other 499 rows are stored."""
    await api.database.fetch("-- refuse\nalter table users add constraint no_eve check (first_name <> 'Eve')")
    rows = [a_user() for _ in range(700)]
    rows[351]["firstName"] = "Eve"

    results = await run(api, document(*rows))
    alone, problem = await api.call("POST", "/api/v1/users", json=a_user(firstName="Eve"))

    assert [result["status"] for result in results] == [422 if line == 351 else 201 for line in range(700)]
    assert (alone, problem["type"]) == (422, "/problems/invalid-fields")


@pytest.mark.parametrize("day", ["0001-01-01", "0001-01-02", "9999-12-31"])
async def test_a_date_that_stands_for_no_date_stops_no_other_row(api: Api, day: str) -> None:
    """.NET and Go write 0001-01-01 for "no date", which the database driver takes for minus infinity."""
    rows = [a_user(birthdayDate=day if line == 351 else "1990-03-10") for line in range(700)]

    results = await run(api, document(*rows))
    alone, _ = await api.call("POST", "/api/v1/users", json=a_user(birthdayDate=day))

    assert {result["status"] for line, result in enumerate(results) if line != 351} == {201}
    assert results[351]["status"] == alone == (201 if day == "0001-01-02" else 422)


async def test_no_date_with_a_time_is_not_taken_for_a_date(api: Api) -> None:
    """So .NET writes it. A suggestion that is refused in turn would not help."""
    status, problem = await api.call("POST", "/api/v1/users", json=a_user(birthdayDate="0001-01-01T00:00:00"))

    assert (status, problem["errors"][0]["field"]) == (422, "birthdayDate")
    assert "send null" in problem["errors"][0]["message"]
