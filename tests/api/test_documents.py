"""The API describes itself: completely, and without anything from elsewhere."""

from __future__ import annotations

import re

from actors.api.problems import KINDS
from tests.api.conftest import Api


async def test_the_document_has_every_route_of_the_api(api: Api) -> None:
    """A route that is not in it is one that nobody finds."""
    _, document = await api.call("GET", "/openapi.json")

    operations = {(method, path) for path, item in document["paths"].items() for method in item}
    assert document["openapi"].startswith("3.1")
    assert {
        ("post", "/api/v1/users"),
        ("get", "/api/v1/users"),
        ("get", "/api/v1/users/{id}"),
        ("put", "/api/v1/users/{id}"),
        ("patch", "/api/v1/users/{id}"),
        ("delete", "/api/v1/users/{id}"),
        ("post", "/api/v1/users:import"),
        ("get", "/api/v1/users/{id}/messages"),
        ("get", "/api/v1/messages"),
        ("get", "/api/v1/messages/{id}"),
        ("post", "/api/v1/messages/{id}:redrive"),
        ("post", "/api/v1/messages:redrive"),
        ("get", "/api/v1/preview"),
        ("get", "/api/v1/forecast"),
        ("get", "/api/v1/users/{id}/explanation"),
        ("post", "/api/v1/jobs/{job}:run"),
        ("get", "/health/ready"),
        ("get", "/metrics"),
    } <= operations


async def test_every_operation_has_an_example_of_every_answer(api: Api) -> None:
    """People read examples first."""
    _, document = await api.call("GET", "/openapi.json")

    lacking = [
        (path, method, status, media_type)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        for status, answer in operation["responses"].items()
        for media_type, content in answer.get("content", {}).items()
        if media_type != "text/plain" and not content.get("examples") and "example" not in content
    ]
    assert lacking == []


async def test_a_new_occasion_is_an_insert_and_nothing_else(api: Api) -> None:
    """No migration of code or schema: the field, its validation and its documentation follow the row."""
    await api.database.fetch("-- new\ninsert into occasions (code, template) values ('name_day', 'Hey, {full_name}')")

    user = await api.create(nameDayDate="2001-03-04")

    _, document = await api.call("GET", "/openapi.json")
    assert user["nameDayDate"] == "2001-03-04"
    assert "nameDayDate" in document["components"]["schemas"]["UserInput"]["properties"]


async def test_the_documentation_page_loads_nothing_from_another_host(api: Api) -> None:
    """It works in a network without a way out, and under a policy that allows no inline script."""
    async with api.client.get("/docs") as response:
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]

    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    statuses = set()
    for link in links:
        async with api.client.get(f"/{link}") as response:
            statuses.add(response.status)
    assert statuses == {200}
    assert not any("//" in link for link in links)
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


async def test_every_problem_type_leads_to_its_meaning(api: Api) -> None:
    """RFC 9457 recommends it."""
    answers = [await api.call("GET", kind.type) for kind in KINDS.values()]

    assert {status for status, _ in answers} == {200}
    assert all(answer["meaning"] for _, answer in answers)
