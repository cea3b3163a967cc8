"""Who may ask, how often, and how nobody is asked to do one thing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.api import keys as keys_module
from service.adapters.redis.connection import connect
from service.adapters.redis.request_rate import LocalRequestRate, RedisRequestRate
from service.settings import Rate, Secret, read
from tests.api.conftest import Api, Serve, a_user

USERS = "/api/v1/users"
KEYED: dict[str, Any] = {"api_keys": (Secret("first-key"), Secret("second-key"))}


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
    """Any of several keys will do: so they can be exchanged one by one."""
    api = await serve(KEYED)

    async with api.client.get(USERS, headers=headers) as response:
        assert response.status == status
        assert status == 200 or response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/users/x", "/%61pi/v1/users", "/api/v1/messages"])
async def test_without_a_key_nobody_learns_what_is_there(serve: Serve, path: str) -> None:
    """404 for some and 401 for others would tell."""
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
    """Without a restart; and a file that is empty for a moment locks nobody out, and lets nobody in."""
    monkeypatch.setattr(keys_module, "LOOK_EVERY", 0.0)
    file = tmp_path / "keys"
    file.write_text("old")
    api = await serve({"api_keys": (Secret("old"),), "api_keys_file": file})

    file.write_text("new,old")
    both = [(await api.call("GET", USERS, **bearer(key)))[0] for key in ("old", "new", "none")]
    file.write_text(" ")
    empty = [(await api.call("GET", USERS, **bearer(key)))[0] for key in ("old", "new", "")]
    file.unlink()
    gone = (await api.call("GET", USERS, **bearer("new")))[0]
    file.write_text("new")
    exchanged = [(await api.call("GET", USERS, **bearer(key)))[0] for key in ("old", "new")]

    assert (both, empty, gone, exchanged) == ([200, 200, 401], [200, 200, 401], 200, [401, 200])


@pytest.fixture
async def shared_rate(redis_url: str) -> AsyncIterator[RedisRequestRate]:
    clients = connect(redis_url)
    yield RedisRequestRate(clients.commands, 5)
    await clients.close()


async def test_a_client_over_its_rate_is_told_when_to_come_back(serve: Serve, shared_rate: RedisRequestRate) -> None:
    """On every node together; an earlier system answered 500."""
    here = await serve({"rate_limit": Rate(5)}, request_rate=shared_rate)
    there = await serve({"rate_limit": Rate(5)}, request_rate=shared_rate)

    statuses = [(await node.call("GET", USERS))[0] for node in (here, there) * 4]
    async with here.client.get(USERS) as response:
        refused = response

    assert statuses[:5] == [200] * 5
    assert 429 in statuses
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.headers["RateLimit-Remaining"] == "0"
    assert (await here.call("GET", "/health/live"))[0] == 200
    assert (await here.call("GET", "/docs/start.css"))[0] == 404


async def test_forwarded_addresses_are_believed_from_proxies_only(serve: Serve) -> None:
    """Else anybody would have as many rates as they can think of addresses."""
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
    """The limit falls back; requests do not fail."""
    clients = connect("redis://127.0.0.1:1")
    api = await serve({"rate_limit": Rate(3)}, request_rate=RedisRequestRate(clients.commands, 0.01))

    statuses = [(await api.call("GET", USERS))[0] for _ in range(3)]

    assert statuses == [200, 429, 429]
    await clients.close()


def test_trusted_proxies_are_networks() -> None:
    """A mistake in them is reported with all others."""
    base = {"HEYDAY_DATABASE_URL": "postgresql://h/d", "HEYDAY_REDIS_URL": "redis://h", "HEYDAY_EMAIL_URL": "http://h"}

    settings = read({**base, "HEYDAY_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7"})

    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "192.0.2.7/32"]
    with pytest.raises(Exception, match="HEYDAY_TRUSTED_PROXIES"):
        read({**base, "HEYDAY_TRUSTED_PROXIES": "proxy.local"})


# --- Idempotency-Key -------------------------------------------------------------------------------------------


async def test_a_request_sent_again_under_its_key_is_answered_as_before(api: Api) -> None:
    """A client that saw no answer may ask again without thinking."""
    document, headers = a_user(), {"Idempotency-Key": "one"}

    first = await api.call("POST", USERS, json=document, headers=headers)
    async with api.client.post(USERS, json=document, headers=headers) as response:
        again = response.status, await response.json()

    assert first[0] == 201
    assert again == first
    assert response.headers["Idempotency-Replayed"] == "true"
    assert response.headers["Location"] == f"{USERS}/{first[1]['id']}"
    assert response.headers["ETag"] == '"1"'


async def test_another_request_under_a_used_key_is_refused(api: Api) -> None:
    """It is a mistake of the client, and answering with somebody else's user would hide it."""
    await api.call("POST", USERS, json=a_user(), headers={"Idempotency-Key": "k"})

    status, problem = await api.call("POST", USERS, json=a_user(), headers={"Idempotency-Key": "k"})

    assert (status, problem["type"]) == (422, "/problems/idempotency-key-reused")


async def test_a_hundred_requests_under_one_key_make_one_user(api: Api) -> None:
    """All others are answered alike, or told that the first is under way."""
    document = a_user()

    answers = await asyncio.gather(
        *(api.call("POST", USERS, json=document, headers={"Idempotency-Key": "same"}) for _ in range(100))
    )

    assert {status for status, _ in answers} <= {201, 409}
    assert {problem["type"] for status, problem in answers if status == 409} <= {"/problems/request-in-progress"}
    assert len({user["id"] for status, user in answers if status == 201}) == 1
    assert len((await api.call("GET", f"{USERS}?limit=500"))[1]["items"]) == 1


async def test_a_refusal_is_kept_and_an_outage_is_not(serve: Serve) -> None:
    """What the client did wrong stays wrong; what the server could not do then it may do now."""
    from service.ports import Unavailable

    api = await serve()
    users = api.parts.users
    away = True

    class Flaky:
        async def create(self, *args: Any) -> Any:
            if away:
                raise Unavailable("postgres", "away")
            return await users.create(*args)

    flaky = await serve(users=Flaky())
    document = a_user()
    headers = {"Idempotency-Key": "k"}

    outage, _ = await flaky.call("POST", USERS, json=document, headers=headers)
    away = False
    done, _ = await flaky.call("POST", USERS, json=document, headers=headers)
    refused = [(await api.call("POST", USERS, json={}, headers={"Idempotency-Key": "r"}))[0] for _ in range(2)]

    assert (outage, done, refused) == (503, 201, [422, 422])


@pytest.mark.parametrize("key", ["", " ", "a" * 256, "ключ", "a b"])
async def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    """Ignoring it would let the client believe that it is safe."""
    status, problem = await api.call("POST", USERS, json=a_user(), headers={"Idempotency-Key": key})

    assert (status, problem["errors"][0]["field"]) == (400, "Idempotency-Key")


async def test_a_key_whose_node_died_can_be_taken_over(api: Api) -> None:
    """For the same request, after a minute; not at once."""
    headers, document = {"Idempotency-Key": "dead"}, a_user()
    await api.call("POST", USERS, json=document, headers=headers)
    await api.database.fetch("-- die\nupdate idempotency_keys set status = null, headers = null, body = null")

    at_once, _ = await api.call("POST", USERS, json=document, headers=headers)
    await api.database.fetch("-- wait\nupdate idempotency_keys set started_at = started_at - interval '2 minutes'")
    later, problem = await api.call("POST", USERS, json=document, headers=headers)

    assert at_once == 409
    assert (later, problem["type"]) == (409, "/problems/email-taken")
