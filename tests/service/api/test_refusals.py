"""The answer to any invalid request is a problem document with the reason, and never a 500."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, TCPConnector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.api.middleware import limits
from service.ports import Unavailable
from tests.service.api.conftest import Api, Serve, a_user

USERS = "/api/v1/users"
JSON = {"Content-Type": "application/json"}


BODIES: list[tuple[bytes, dict[str, str], int]] = [
    (b"", JSON, 400),
    (b"{", JSON, 400),
    (b"nul", JSON, 400),
    (b'{"a": NaN}', JSON, 400),
    (b'"\xff\xfe"', JSON, 400),
    (b'{"firstName": "\\ud800"}', JSON, 400),
    (b"[" * 10_000 + b"]" * 10_000, JSON, 400),
    (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, JSON, 400),
    (b"[]", JSON, 422),
    (b"null", JSON, 422),
    (b"1e999", JSON, 400),
    (b"9" * 60_000, JSON, 400),
    (b'{"firstName": 1e999}', JSON, 400),
    (json.dumps({"firstName": "a" * 1_000_000}).encode(), JSON, 413),
    (gzip.compress(b" " * 10_000_000), {**JSON, "Content-Encoding": "gzip"}, 415),
    (b"{}", {**JSON, "Content-Encoding": "identity"}, 415),
    (b"{}", {**JSON, "Content-Encoding": ""}, 415),
    (b"{}", {"Content-Type": "text/plain"}, 415),
    (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 415),
    (b"{}", {"Content-Type": "a/b/c; ;;="}, 415),
    (b"{}", {}, 415),
]


async def test_a_body_that_is_wrong_is_refused(api: Api) -> None:
    """These bodies are known to break services."""
    for body, headers, status in BODIES:
        # A connection each: the server closes one whose body it does not want to read to its end.
        async with (
            ClientSession(api.url, skip_auto_headers=["Content-Type"]) as client,
            client.post(USERS, data=body, headers=headers) as response,
        ):
            got, problem = response.status, await response.json(content_type="application/problem+json")

        assert (got, problem["status"], problem["instance"]) == (status, status, USERS), (body[:40], headers, problem)


REPEATED = [
    (b'{"firstName": "Ada", "firstName": "Bo"}', "firstName"),
    (b'{"firstName": "Ada", "\\u0066irstName": null}', "firstName"),
    (b'{"a": {"b": 1, "b": 1}}', "b"),
    (b'{"a": 1, "": [%s, {"c": 1, "c": 1}]}' % (b"9" * 300), "c"),
]


@pytest.mark.parametrize(("body", "field"), REPEATED)
async def test_a_name_that_is_repeated_is_refused(api: Api, body: bytes, field: str) -> None:
    """The last value won, so what a client had written first was lost unseen (I-JSON, RFC 7493, 2.3)."""
    for path, headers in ((USERS, JSON), (f"{USERS}:import", {"Content-Type": "application/x-ndjson"})):
        async with api.client.post(path, data=body, headers=headers) as response:
            problem = json.loads(await response.text())

        assert problem["status"] == 400, problem
        assert [(one["field"], one["message"]) for one in problem["errors"]] == [(field, "Given more than once.")]


async def test_names_in_different_objects_and_colons_in_texts_repeat_nothing(api: Api) -> None:
    """Only one object may not have a name twice."""
    texts = {"de": {"text": "Hallo: {first_name}"}, "fr": {"text": "Salut: {first_name}"}}
    status, _ = await api.call("PUT", "/api/v1/occasions/eve", json={"text": 'Hey "x": {first_name}', "texts": texts})

    assert status == 201


NOWHERE = [
    ("GET", "/nothing", 404),
    ("GET", f"{USERS}/not-an-id", 404),
    ("GET", f"{USERS}/00000000-0000-0000-0000-000000000000", 404),
    ("GET", f"{USERS}/%00", 404),
    ("GET", f"{USERS}/%ff%fe", 404),
    ("GET", f"{USERS}/..%2f..%2fetc", 404),
    ("DELETE", USERS, 405),
    ("PUT", f"{USERS}:import", 405),
    ("TRACE", USERS, 405),
    ("GET", "/api/v1/jobs/daily:run", 405),
    ("POST", "/api/v1/jobs/nightly:run", 404),
    ("POST", "/api/v1/messages/00000000-0000-0000-0000-000000000000:redrive", 404),
]


async def test_a_way_that_leads_nowhere_is_a_problem_document_too(api: Api) -> None:
    """Clients expect JSON, not a page of the framework."""
    for method, path, status in NOWHERE:
        async with api.client.request(method, path) as response:
            problem = await response.json(content_type="application/problem+json")

        assert (response.status, problem["status"]) == (status, status), (method, path, problem)
        assert problem["requestId"] == response.headers["X-Request-ID"]
        assert status != 405 or response.headers["Allow"]


HEAD = b"GET /api/v1/users HTTP/1.1\r\nHost: heyday\r\n"
NOT_HTTP: list[tuple[bytes, int]] = [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),  # TLS on a port without it
    (b"hello\r\n\r\n", 400),
    (b"\0\0\0\0\r\n\r\n", 400),
    (b"GET / HTTP/9.9\r\n\r\n", 400),
    (b"G\xffT / HTTP/1.1\r\n\r\n", 400),
    (HEAD + b"X-Name: a\0b\r\n\r\n", 400),
    (HEAD + b"X Name: a\r\n\r\n", 400),
    (HEAD + b"Content-Length: -1\r\n\r\n", 400),
    (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (HEAD + b"X-Name: " + b"a" * 10_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", 431),
    (b"BREW /api/v1/users HTTP/1.1\r\nHost: heyday\r\n\r\n", 400),
    (b"PROPFIND /api/v1/users HTTP/1.1\r\nHost: heyday\r\n\r\n", 405),
    (HEAD + b"Expect: a miracle\r\nContent-Length: 0\r\n\r\n", 417),
]


async def test_what_is_not_http_is_answered_with_a_problem_document_too(api: Api) -> None:
    """The client's address and bytes are not logged."""
    with capture_logs() as lines:
        for sent, status in NOT_HTTP:
            head, problem = await raw(api, sent)

            assert b"application/problem+json" in head, (sent[:60], head)
            assert (int(head.split()[1]), problem["status"]) == (status, status), (sent[:60], problem)
            assert problem["requestId"].encode() in head
            assert b"Server: heyday\r\n" in head

    assert "127.0.0.1" not in str(lines)
    assert {line["log_level"] for line in lines} == {"info"}


async def raw(api: Api, sent: bytes) -> tuple[bytes, dict[str, Any]]:
    """Return head and problem of the answer to these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(api.url).port)
    writer.write(sent)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        problem: dict[str, Any] = json.loads(await reader.readexactly(length))
    writer.close()
    return head, problem


async def test_head_and_options_are_answered(api: Api) -> None:
    """HEAD answers as GET without a body, OPTIONS with the allowed methods."""
    async with api.client.head(USERS) as head, api.client.options(USERS) as options:
        assert (head.status, await head.read()) == (200, b"")
        assert options.status == 204
        assert {"GET", "HEAD", "POST", "OPTIONS"} == set(options.headers["Allow"].split(","))
        assert "Access-Control-Allow-Origin" not in options.headers


async def test_an_outage_of_the_database_is_503_and_says_when_to_come_back(serve: Serve) -> None:
    """A 500 would alert a person who can do nothing."""

    class Away:
        def __getattr__(self, _name: str) -> Any:
            async def away(*_args: object, **_options: object) -> None:
                raise Unavailable("postgres", "connection refused by 10.1.2.3")

            return away

    api = await serve(users=Away(), history=Away())

    async with api.client.post(USERS, json=a_user()) as response:
        problem = await response.json()

    assert (response.status, problem["type"]) == (503, "/problems/unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert "10.1.2.3" not in json.dumps(problem)
    assert (await api.call("GET", "/api/v1/messages"))[0] == 503


async def test_a_bug_is_500_and_tells_nothing_of_itself(serve: Serve) -> None:
    """The log has the details under the request id."""

    class Broken:
        async def get(self, _id: object) -> None:
            raise LookupError("secret detail")

    api = await serve(users=Broken())

    status, problem = await api.call("GET", f"{USERS}/00000000-0000-0000-0000-000000000000")

    assert (status, problem["type"]) == (500, "/problems/internal-error")
    assert "secret" not in json.dumps(problem)


VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
"""Every visible ASCII character."""


async def test_a_request_id_is_echoed_unless_it_could_do_harm(api: Api) -> None:
    """It is written to logs and headers."""
    async with (
        api.client.get(USERS, headers={"X-Request-ID": VISIBLE}) as kept,
        api.client.get(USERS, headers={"X-Request-ID": "x" * 500}) as long,
        api.client.get(USERS, headers={"X-Request-ID": "a b"}) as spaced,
    ):
        assert kept.headers["X-Request-ID"] == VISIBLE
        assert len(long.headers["X-Request-ID"]) == 32
        assert spaced.headers["X-Request-ID"] != "a b"


async def test_more_requests_than_a_node_takes_are_refused_and_health_is_not(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unbounded queue would only delay the failure."""
    monkeypatch.setattr(limits, "MAX_IN_FLIGHT", 100)
    release = asyncio.Event()
    waiting = asyncio.Semaphore(0)

    class Slow:
        async def get(self, _id: object) -> None:
            waiting.release()
            await release.wait()

    api = await serve(users=Slow())
    path = f"{USERS}/00000000-0000-0000-0000-000000000000"
    async with asyncio.TaskGroup() as group:
        first = [group.create_task(api.call("GET", path)) for _ in range(90)]
        for _ in first:
            await waiting.acquire()
        async with ClientSession(api.url, connector=TCPConnector(limit=0)) as crowd:
            more = [group.create_task(_status(crowd, path)) for _ in range(10 + 5)]
            refused, _ = await asyncio.wait(more, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result() for task in refused} == {503}
            assert await _status(crowd, "/health/live") == 200
            release.set()
            await asyncio.wait(more)

    assert sorted({task.result() for task in more}) == [404, 503]


async def _status(session: Any, path: str) -> int:
    async with session.get(path) as response:
        status: int = response.status
        return status


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_fields = st.sampled_from(
    ["firstName", "lastName", "email", "timezone", "birthdayDate", "anniversaryDate", "locationCity", "x"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.dictionaries(_fields, _values, max_size=4))
async def test_no_document_makes_a_500(api: Api, change: dict[str, Any]) -> None:
    """Property: any document creates a user or gets named errors."""
    text = json.dumps({**a_user(), **change}, ensure_ascii=True)

    status, answer = await api.call("POST", USERS, data=text, headers=JSON)

    assert status in (201, 400, 422), answer
