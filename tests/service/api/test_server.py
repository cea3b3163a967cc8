"""The HTTP server actor: health, metrics, jobs, its log, and its end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from structlog.testing import capture_logs

from actors.http_server import requests_timeout
from service.node.outages import Outages
from service.ports import Busy, Unavailable
from service.settings import Secret, Settings
from tests.service.api.conftest import Api, Serve, a_user, request_lines

USERS = "/api/v1/users"
NOBODY = f"{USERS}/00000000-0000-0000-0000-000000000000"


class Slow:
    """Users that answer slowly."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.release = asyncio.Event()

    async def get(self, _id: object) -> None:
        self.asked.set()
        await self.release.wait()


async def test_ready_follows_the_servers_and_live_does_not(api: Api) -> None:
    """A restart does not repair a database that is down."""
    before = (await api.call("GET", "/health/ready"))[0]
    api.missing.append("postgres")
    status, answer = await api.call("GET", "/health/ready")
    live, health = await api.call("GET", "/health/live"), await api.call("GET", "/health")

    assert (before, status, answer["missing"]) == (200, 503, ["postgres"])
    assert (live[0], health[0], health[1]["status"]) == (200, 200, "degraded")


async def test_detailed_health_shows_a_server_that_is_away_beside_those_that_are_up(serve: Serve) -> None:
    """A hanging server must not hide the others."""

    async def up() -> dict[str, object]:
        return {"ping": 0.001}

    async def away() -> dict[str, object]:
        raise Unavailable("redis", "refused")

    api = await serve(checks={"database": up, "redis": away})

    status, health = await api.call("GET", "/health/detailed")

    assert status == 200
    assert health["database"].items() >= {"status": "up", "ping": 0.001}.items()
    assert health["redis"].items() >= {"status": "down", "reason": "refused"}.items()
    assert health["actors"]["state"] == "running"
    assert health["tzdata"]


async def test_a_needed_server_whose_check_fails_is_missing_in_detailed_health_too(serve: Serve) -> None:
    """Checks are faster than the actors, and both pages are read during one outage."""

    async def up() -> dict[str, object]:
        return {}

    async def away() -> dict[str, object]:
        raise Unavailable("rabbitmq", "blocked")

    api = await serve(checks={"database": up, "rabbitmq": away, "email": away}, needed={"rabbitmq": "rabbitmq"})

    _, detailed = await api.call("GET", "/health/detailed")
    _, ready = await api.call("GET", "/health/ready")

    assert (detailed["status"], detailed["missing"]) == ("degraded", ["rabbitmq"])
    assert ready["missing"] == ["rabbitmq"]


async def test_an_outage_lasts_by_the_clock_that_knows_its_start(serve: Serve) -> None:
    """The start is a second of that clock, which need not be the clock of the event loop."""
    now = 100.0
    outages = Outages(lambda: now)
    outages.met("planner", Unavailable("redis", "refused"))
    api = await serve(outages=outages)
    now = 107.5

    _, health = await api.call("GET", "/health/detailed")

    assert health["outages"] == [{"system": "redis", "reason": "refused", "seconds": 7.5}]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, 202),
        (Unavailable("postgres", "away"), 503),
        (TimeoutError(), 503),
        (Busy("The actor takes no requests at the moment."), 503),
    ],
)
async def test_a_job_answers_its_result_or_when_to_try_again(
    serve: Serve, error: Exception | None, status: int
) -> None:
    """A busy, ended or restarting actor is no error of the request."""

    async def daily() -> dict[str, int]:
        if error is not None:
            raise error
        return {"ranges": 3}

    api = await serve(jobs={"daily": daily})

    async with api.client.post("/api/v1/jobs/daily:run") as response:
        answer = await response.json()

    assert response.status == status
    assert status != 202 or answer == {"job": "daily", "result": {"ranges": 3}}
    assert status == 202 or int(response.headers["Retry-After"]) > 0


async def test_metrics_name_the_route_and_not_the_path(api: Api) -> None:
    """A label with a user's id would make one time series per user."""
    await api.call("GET", NOBODY)
    await api.call("GET", "/wp-login.php")

    async with api.client.get("/metrics") as response:
        text = await response.text()

    assert 'http_requests_total{method="GET",route="/api/v1/users/{id}",status_code="404"} 1.0' in text
    assert 'route="unmatched"' in text
    assert "wp-login" not in text


async def test_a_request_is_one_log_line_without_personal_data(api: Api) -> None:
    """The log has no address, name or client address."""
    with capture_logs() as lines:
        await api.call("POST", USERS, json=a_user(email="secret@example.com"), headers={"X-Request-ID": "r1"})
        await api.call("GET", f"{USERS}?email=secret@example.com")
        requests = await request_lines(lines, 2)

    assert [(line["method"], line["route"], line["status"]) for line in requests] == [
        ("POST", USERS, 201),
        ("GET", USERS, 200),
    ]
    assert [line["key"] for line in requests] == ["no key", "no key"]
    assert not any(word in str(lines) for word in ("secret", "Ada", "127.0.0.1"))


async def test_every_answer_has_the_headers_that_keep_browsers_out(api: Api) -> None:
    """This includes streamed, refused and empty answers."""
    for method, path in (("GET", USERS), ("GET", "/nothing"), ("POST", f"{USERS}:import"), ("OPTIONS", USERS)):
        async with api.client.request(method, path, headers={"Content-Type": "application/x-ndjson"}) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Server"] == "heyday"
            assert len(response.headers["X-Request-ID"]) == 32


async def test_a_request_under_way_is_finished_when_the_node_drains(serve: Serve) -> None:
    """No new request is accepted."""
    users = Slow()
    api = await serve(users=users)
    request = asyncio.create_task(api.call("GET", NOBODY))
    await users.asked.wait()

    drain = asyncio.create_task(api.supervisor.drain(10))
    while _listens(api):  # noqa: ASYNC110 - the actor has no event for it
        await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", urlsplit(api.url).port)
    users.release.set()

    assert (await request)[0] == 404
    assert (await drain).clean


async def test_a_request_that_does_not_end_does_not_hold_up_the_drain(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut off at the deadline."""
    from actors import http_server as server

    monkeypatch.setattr(server, "REQUESTS_TIMEOUT", 0.1)
    users = Slow()
    api = await serve(users=users)
    request: asyncio.Task[Any] = asyncio.create_task(api.call("GET", NOBODY))
    await users.asked.wait()

    report = await api.supervisor.drain(10)

    with pytest.raises(aiohttp.ClientError):
        await request
    assert report.clean


@pytest.mark.parametrize(("drain_within", "seconds"), [(20, 4.5), (12, 1), (10, 0.1)])
def test_requests_leave_a_drain_the_time_of_a_call(drain_within: int, seconds: float) -> None:
    """The senders drain after the API. A call that is cut off has an unknown outcome."""
    settings = Settings(Secret(""), Secret(""), Secret(""), drain_within=timedelta(seconds=drain_within))

    assert settings.email_timeout == timedelta(seconds=10)
    assert requests_timeout(settings) == seconds


def _listens(api: Api) -> bool:
    try:
        return api.server.port > 0
    except LookupError:
        return False


@pytest.mark.parametrize(
    "accept",
    [
        'application/openmetrics-text; version="1.0.0"',
        "application/openmetrics-text; version=abc",
        "text/plain; version=x",
        "text/plain;version=1.x, */*;q=0.1",
    ],
)
async def test_an_unreadable_version_of_metrics_gets_the_oldest_format(api: Api, accept: str) -> None:
    """A proxy or a monitor that writes its header differently must not lose sight of the node."""
    async with api.client.get("/metrics", headers={"Accept": accept}) as response:
        text = await response.text()

    assert (response.status, response.content_type) == (200, "text/plain")
    assert "# TYPE" in text
