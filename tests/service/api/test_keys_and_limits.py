"""API keys, and rate limits for each client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.adapters.redis import request_rate
from service.adapters.redis.connection import connect
from service.adapters.redis.request_rate import LocalRequestRate, RedisRequestRate
from service.api.middleware import api_keys as keys_module
from service.api_keys import parse_api_keys
from service.settings import Rate, read
from tests.service.api.conftest import Serve, a_user

USERS = "/api/v1/users"
FIVE_A_MINUTE = Rate(5 / 60, 60)
KEYED: dict[str, Any] = {"api_keys": parse_api_keys("first-key,second-key")}


def bearer(key: str) -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": f"Bearer {key}"}}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Bearer first-key,second-key"}, 401),
        ({"Authorization": "Basic first-key"}, 401),
        ({"Authorization": "Bearer ключ"}, 401),
        ({"Authorization": "Bearer first-key"}, 200),
        ({"Authorization": "bearer second-key"}, 200),
    ],
)
async def test_only_a_valid_key_opens_the_api(serve: Serve, headers: dict[str, str], status: int) -> None:
    """Several keys are valid at once, so they can be replaced one by one."""
    api = await serve(KEYED)

    async with api.client.get(USERS, headers=headers) as response:
        assert response.status == status
        assert status == 200 or response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/users/x", "/%61pi/v1/users", "/api/v1/messages"])
async def test_without_a_key_existing_and_unknown_paths_look_alike(serve: Serve, path: str) -> None:
    """Different answers would reveal which paths exist."""
    from yarl import URL

    api = await serve(KEYED)

    async with api.client.get(URL(f"{api.url}{path}", encoded=True)) as response:
        assert response.status == 401


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"])
async def test_health_metrics_and_documentation_need_no_key(serve: Serve, path: str) -> None:
    """Probes and scrapers have none."""
    api = await serve(KEYED)

    async with api.client.get(path) as response:
        assert response.status == 200


async def test_keys_are_exchanged_by_writing_their_file(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No restart is needed. An empty file changes nothing."""
    monkeypatch.setattr(keys_module, "KEY_FILE_POLL_INTERVAL", 0.0)
    file = tmp_path / "keys"
    file.write_text("old")
    api = await serve({"api_keys": parse_api_keys("old"), "api_keys_file": file})

    file.write_text("new,old")
    both = [(await api.call("GET", USERS, **bearer(key)))[0] for key in ("old", "new", "none")]
    file.write_text(" ")
    empty = [(await api.call("GET", USERS, **bearer(key)))[0] for key in ("old", "new", "")]
    file.unlink()
    gone = (await api.call("GET", USERS, **bearer("new")))[0]
    file.write_text("new")
    exchanged = [(await api.call("GET", USERS, **bearer(key)))[0] for key in ("old", "new")]

    assert (both, empty, gone, exchanged) == ([200, 200, 401], [200, 200, 401], 200, [401, 200])


@pytest.mark.parametrize(("text", "answers"), [("\ufeffnew\r\n", [401, 200, 401]), ('"new"\n', [200, 401, 401])])
async def test_what_editors_and_env_files_add_to_a_key_is_no_part_of_it(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, answers: list[int]
) -> None:
    """A byte order mark is ignored. Quotation marks are an error, so the former keys stay."""
    monkeypatch.setattr(keys_module, "KEY_FILE_POLL_INTERVAL", 0.0)
    file = tmp_path / "keys"
    file.write_text("old")
    api = await serve({"api_keys": parse_api_keys("old"), "api_keys_file": file})

    file.write_text(text, encoding="utf-8")

    assert [(await api.call("GET", USERS, **bearer(key)))[0] for key in ("old", "new", '"new"')] == answers


async def test_a_restarted_api_takes_the_keys_of_the_file_and_not_those_of_the_start(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that was withdrawn must not be valid again."""
    monkeypatch.setattr(keys_module, "KEY_FILE_POLL_INTERVAL", 0.0)
    file = tmp_path / "keys"
    file.write_text("new")

    api = await serve({"api_keys": parse_api_keys("old"), "api_keys_file": file})

    assert [(await api.call("GET", USERS, **bearer(key)))[0] for key in ("old", "new")] == [401, 200]


async def test_a_file_with_a_key_that_can_be_guessed_changes_nothing(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other machines can reach the API."""
    monkeypatch.setattr(keys_module, "KEY_FILE_POLL_INTERVAL", 0.0)
    file, good = tmp_path / "keys", "a-key-of-16-chars"
    file.write_text(good)
    api = await serve({"api_keys": parse_api_keys(good), "api_keys_file": file, "bind_host": "0.0.0.0"})  # noqa: S104 - it is the case in question

    file.write_text(f"{good},a")
    statuses = [(await api.call("GET", USERS, **bearer(key)))[0] for key in (good, "a")]

    assert statuses == [200, 401]


async def test_a_file_with_a_mistake_changes_nothing(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typing error in a role must neither give a key all rights nor lock its owner out."""
    monkeypatch.setattr(keys_module, "KEY_FILE_POLL_INTERVAL", 0.0)
    file = tmp_path / "keys"
    file.write_text("crm:read:old")
    api = await serve({"api_keys": parse_api_keys("crm:read:old"), "api_keys_file": file})

    file.write_text("crm:reed:old")
    with capture_logs() as lines:
        mistaken = (await api.call("GET", "/api/v1/me", **bearer("old")))[1]
    file.write_text("crm:write:old")
    corrected = (await api.call("GET", "/api/v1/me", **bearer("old")))[1]

    assert (mistaken["role"], corrected["role"]) == ("read", "write")
    (refused,) = [line for line in lines if line["event"] == "api_keys_refused"]
    assert refused["reason"] == "expected one of the roles read, write, operate, admin (see key 1)"


@pytest.fixture
async def shared_rate(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisRequestRate]:
    monkeypatch.setattr(request_rate, "CALL_TIMEOUT", 30.0)
    clients = connect(redis_url)
    yield RedisRequestRate(clients.commands, FIVE_A_MINUTE.per_second, burst=5)
    await clients.close()


async def test_a_client_over_its_rate_is_told_when_to_come_back(serve: Serve, shared_rate: RedisRequestRate) -> None:
    """The limit covers all nodes. An earlier system answered 500."""
    here = await serve({"rate_limit": FIVE_A_MINUTE}, request_rate=shared_rate)
    there = await serve({"rate_limit": FIVE_A_MINUTE}, request_rate=shared_rate)

    statuses = [(await node.call("GET", USERS))[0] for node in (here, there) * 4]
    async with here.client.get(USERS) as response:
        refused = response

    assert statuses == [200] * 5 + [429] * 3
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.headers["RateLimit-Remaining"] == "0"
    assert (await here.call("GET", "/health/live"))[0] == 200
    assert (await here.call("GET", "/docs/start.css"))[0] == 404


async def test_forwarded_addresses_are_believed_from_proxies_only(serve: Serve) -> None:
    """Otherwise a client could get a new limit with each invented address."""
    import ipaddress

    def xff(address: str) -> dict[str, Any]:
        return {"headers": {"X-Forwarded-For": address}}

    open_ = await serve({"rate_limit": Rate(2)}, request_rate=LocalRequestRate(0.01))
    proxied = await serve(
        {"rate_limit": Rate(2), "trusted_proxies": (ipaddress.ip_network("127.0.0.0/8"),)},
        request_rate=LocalRequestRate(0.01),
    )

    forged = [(await open_.call("GET", USERS, **xff(f"10.0.0.{n}")))[0] for n in range(2)]
    believed = [(await proxied.call("GET", USERS, **xff(f"10.0.0.{n}")))[0] for n in range(2)]
    prepended = [(await proxied.call("GET", USERS, **xff(f"192.0.2.{n}, 10.0.0.1")))[0] for n in range(2)]

    assert (forged, believed, prepended) == ([200, 429], [200, 200], [429, 429])


async def test_without_redis_each_node_counts_on_its_own(serve: Serve) -> None:
    """An outage of Redis must not fail requests."""
    clients = connect("redis://127.0.0.1:1")
    api = await serve({"rate_limit": Rate(3)}, request_rate=RedisRequestRate(clients.commands, 0.01))

    statuses = [(await api.call("GET", USERS))[0] for _ in range(3)]

    assert statuses == [200, 429, 429]
    await clients.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Host": "localhost:8080"}, 201),
        ({"Host": "localhost:8080", "Origin": "http://localhost:8080"}, 201),
        ({"Origin": "https://app.example.com"}, 201),
        ({"Origin": "http://localhost:3000"}, 201),
        ({"Origin": "http://127.0.0.1:9000"}, 201),
        ({"Origin": "http://192.0.2.7"}, 401),
        ({"Origin": "https://[evil"}, 401),
        ({"Origin": "https://evil.example"}, 401),
        ({"Origin": "null"}, 401),
    ],
)
async def test_without_keys_no_page_of_another_machine_changes_anything(
    serve: Serve, headers: dict[str, str], status: int
) -> None:
    """A browser on the machine of the node shows such pages. They cannot read answers, but a change would be made."""
    api = await serve({"cors_origins": ("https://app.example.com",)})

    assert (await api.call("GET", "/api/v1/users", headers=headers))[0] == 200
    assert (await api.call("POST", "/api/v1/users", headers=headers, json=a_user()))[0] == status


async def test_with_keys_a_node_has_any_name(serve: Serve) -> None:
    api = await serve({"api_keys": parse_api_keys("crm:write:secret")})
    headers = {"Host": "heyday.example", "Origin": "https://evil.example", "Authorization": "Bearer secret"}

    assert (await api.call("POST", "/api/v1/users", headers=headers, json=a_user()))[0] == 201


def test_trusted_proxies_are_networks() -> None:
    """An error in them is reported together with all others."""
    base = {"HEYDAY_DATABASE_URL": "postgresql://h/d", "HEYDAY_REDIS_URL": "redis://h", "HEYDAY_EMAIL_URL": "http://h"}
    base["HEYDAY_API_KEYS"] = "a:read:" + "k" * 16

    settings = read({**base, "HEYDAY_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7"})

    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "192.0.2.7/32"]
    with pytest.raises(Exception, match="HEYDAY_TRUSTED_PROXIES"):
        read({**base, "HEYDAY_TRUSTED_PROXIES": "proxy.local"})
