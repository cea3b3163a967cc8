"""Tests which origins may use the API from a browser."""

from __future__ import annotations

from typing import Any

import pytest

from service.api_keys import parse_api_keys
from service.settings import BadConfiguration, read
from tests.service.api.conftest import Api, Serve, a_user
from tests.service.test_api_keys import REQUIRED

PAGE = "https://app.example.com"
OPEN: dict[str, Any] = {
    "api_keys": parse_api_keys("page:write:secret"),
    "cors_origins": (PAGE, "http://localhost:3000"),
}
KEY = {"Authorization": "Bearer secret"}
USERS = "/api/v1/users"


async def headers_of(api: Api, method: str, path: str, origin: str, **headers: str) -> tuple[int, dict[str, str]]:
    options: dict[str, Any] = {"json": a_user()} if method == "POST" else {}
    async with api.client.request(method, path, headers={"Origin": origin, **headers}, **options) as response:
        found = {name: value for name, value in response.headers.items() if name.startswith("Access-Control")}
        return response.status, {**found, "Vary": response.headers.get("Vary", "")}


def preflight(method: str) -> dict[str, str]:
    return {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.mark.parametrize("path", [USERS, f"{USERS}:import", f"{USERS}/x", "/api/v1/messages:redrive"])
async def test_a_preflight_of_an_allowed_origin_needs_no_key(serve: Serve, path: str) -> None:
    """A browser sends the preflight without the key."""
    api = await serve(OPEN)

    status, headers = await headers_of(api, "OPTIONS", path, PAGE, **preflight("POST"))

    assert (status, headers["Access-Control-Allow-Origin"]) == (204, PAGE)
    assert {"POST", "PATCH", "DELETE"} < set(headers["Access-Control-Allow-Methods"].split(", "))
    assert {"Authorization", "Cache-Control", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"} < set(
        headers["Access-Control-Allow-Headers"].split(", ")
    )


@pytest.mark.parametrize(("method", "key", "status"), [("GET", KEY, 200), ("POST", KEY, 201), ("GET", {}, 401)])
async def test_responses_can_be_read_by_an_allowed_origin(
    serve: Serve, method: str, key: dict[str, str], status: int
) -> None:
    """This includes refusals: a script that cannot read a 401 shows a network error."""
    api = await serve(OPEN)

    answered, headers = await headers_of(api, method, USERS, "http://localhost:3000", **key)

    assert (answered, headers["Access-Control-Allow-Origin"]) == (status, "http://localhost:3000")
    assert "ETag" in headers["Access-Control-Expose-Headers"]
    assert "Origin" in headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "https://app.example.com:8443",
        "http://app.example.com",
        "https://APP.example.com",
        "null",
        "*",
        "",
    ],
)
async def test_another_origin_gets_no_permission(serve: Serve, origin: str) -> None:
    """Origins are compared exactly."""
    api = await serve(OPEN)

    asked, of_preflight = await headers_of(api, "OPTIONS", USERS, origin, **preflight("GET"))
    _, of_request = await headers_of(api, "GET", USERS, origin, **KEY)

    assert asked == 401
    assert (of_preflight, of_request) == ({"Vary": "Origin"}, {"Vary": "Origin"})


async def test_without_the_setting_no_response_has_such_a_header(serve: Serve) -> None:
    """CORS is opt-in."""
    api = await serve()

    assert await headers_of(api, "GET", USERS, PAGE) == (200, {"Vary": ""})
    assert (await headers_of(api, "OPTIONS", USERS, PAGE, **preflight("GET")))[1] == {"Vary": ""}


async def test_a_streamed_response_can_be_read_too(serve: Serve) -> None:
    """Its headers are sent before its end."""
    api = await serve(OPEN)
    headers = {**KEY, "Origin": PAGE, "Content-Type": "application/x-ndjson"}

    async with api.client.post(f"{USERS}:import", data=b"{}\n", headers=headers) as response:
        await response.read()

    assert response.headers["Access-Control-Allow-Origin"] == PAGE


@pytest.mark.parametrize("path", ["/health", "/metrics", "/openapi.json"])
async def test_health_and_metrics_stay_closed_to_other_origins(serve: Serve, path: str) -> None:
    """A page that uses the API does not need them."""
    api = await serve(OPEN)

    assert "Access-Control-Allow-Origin" not in (await headers_of(api, "GET", path, PAGE))[1]


@pytest.mark.parametrize("text", [PAGE, "http://localhost:3000, https://a.example", "http://[::1]:3000"])
def test_exact_origins_are_read(text: str) -> None:
    """The forms are those that browsers send."""
    assert read(REQUIRED | {"HEYDAY_CORS_ORIGINS": text}).cors_origins == tuple(text.split(", "))


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "app.example.com",
        "https://*.example.com",
        "https://app.example.com/",
        "https://app.example.com/page",
        "https://App.example.com",
        "https://app.example.com:443",
        "http://app.example.com:80",
        "https://app.example.com:99999",
        "https://user@app.example.com",
        "ftp://app.example.com",
    ],
)
def test_what_no_browser_sends_is_refused_at_start(text: str) -> None:
    """It would allow nothing, and the operator would search elsewhere."""
    with pytest.raises(BadConfiguration, match=r"HEYDAY_CORS_ORIGINS=.*: expected exact origins"):
        read(REQUIRED | {"HEYDAY_CORS_ORIGINS": f"{PAGE},{text}"})
