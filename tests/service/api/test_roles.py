"""Tests the roles of keys on every route of the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

import pytest

from service.api_keys import parse_api_keys
from service.domain.roles import Role
from tests.service.api.conftest import Api, Serve

ID = "01936f3a-7c1e-7b52-9d3e-2a4f6c8e0b11"

KEYED: dict[str, Any] = {"api_keys": parse_api_keys(",".join(f"{role}-key:{role}:secret-of-{role}" for role in Role))}


def with_role(role: Role) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer secret-of-{role}"}}


def least_role(method: str, path: str) -> Role:
    """The lowest role that the contract gives to an operation."""
    if path == "/api/v1/audit":
        return Role.ADMIN
    if method == "get" or path.endswith(":render"):  # shows a text, and changes nothing
        return Role.READ
    if re.match(r"/api/v1/(users|suppressions)", path):
        return Role.WRITE
    return Role.OPERATE


async def operations(api: Api) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation under /api that needs a key."""
    _, document = await api.call("GET", "/openapi.json")
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path.startswith("/api/") and not path.startswith("/api/v1/email-events/")
    ]


def concrete(path: str) -> str:
    return re.sub(r"\{\w+\}", ID, path)


@pytest.mark.parametrize("role", Role)
async def test_a_key_may_use_the_routes_of_its_role_and_no_other(serve: Serve, role: Role) -> None:
    """A key for reports must not redrive messages."""
    api = await serve(KEYED)
    found = await operations(api)
    assert len(found) > 15

    for method, path, _ in found:
        status, body = await api.call(method.upper(), concrete(path), json={}, **with_role(role))

        least = least_role(method, path)
        if role.may(least):
            assert status not in (401, 403), (method, path, body)
        else:
            assert (status, body["requiredRole"]) == (403, least), (method, path, body)
            assert body["detail"].startswith(f"The key {role}-key has the role {role}; this needs the role {least}")


async def test_the_document_shows_the_least_role_of_every_route(serve: Serve) -> None:
    """In OpenAPI 3.1 a security requirement can list roles."""
    for method, path, operation in await operations(await serve(KEYED)):
        least = least_role(method, path)

        assert operation["security"] == [{"key": [least]}], (method, path)
        assert f"Needs the role `{least}`" in operation["description"]
        assert ("403" in operation["responses"]) == (least is not Role.READ)


@pytest.mark.parametrize("role", Role)
async def test_only_admin_erases_a_user(serve: Serve, role: Role) -> None:
    """Erasing cannot be undone, unlike deleting."""
    api = await serve(KEYED)
    allowed = role is Role.ADMIN

    status, _ = await api.call("DELETE", f"/api/v1/users/{ID}?erase=true", **with_role(role))

    assert status == (404 if allowed else 403)


async def test_a_refusal_names_the_role_in_its_header_too(serve: Serve) -> None:
    """RFC 6750, 3.1: insufficient_scope."""
    api = await serve(KEYED)

    async with api.client.get("/api/v1/audit", **with_role(Role.WRITE)) as response:
        assert response.status == 403
        assert response.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="admin"'
        assert response.content_type == "application/problem+json"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/api/v1/nothing", 404), ("DELETE", "/api/v1/me", 405)])
async def test_a_key_of_any_role_learns_what_does_not_exist(serve: Serve, method: str, path: str, status: int) -> None:
    """A 403 for an unknown path would make its owner ask for rights."""
    api = await serve(KEYED)

    assert (await api.call(method, path, **with_role(Role.READ)))[0] == status


async def test_me_names_the_key_and_its_role(serve: Serve) -> None:
    """A client can check its rights before it tries."""
    api = await serve(KEYED)
    open_api = await serve()

    assert await api.call("GET", "/api/v1/me", **with_role(Role.OPERATE)) == (
        200,
        {"name": "operate-key", "role": "operate"},
    )
    assert await open_api.call("GET", "/api/v1/me") == (200, {"name": "no key", "role": "admin"})


@pytest.mark.parametrize("second", ["Bearer secret-of-admin", "Basic dXNlcjpwYXNz", ""])
async def test_two_authorization_headers_are_refused(serve: Serve, second: str) -> None:
    """A proxy might check one, and the node use the other."""
    api = await serve(KEYED)
    headers = [("Authorization", "Bearer secret-of-admin"), ("Authorization", second)]

    status, body = await api.call("GET", "/api/v1/me", headers=headers)

    assert (status, body["errors"][0]["header"]) == (400, "Authorization")
