"""The OpenAPI document and its page are complete, and load nothing from other hosts."""

from __future__ import annotations

import re
from typing import Any

from service.api.http.problems import KINDS
from service.api_keys import parse_api_keys
from tests.service.api.conftest import Api, Serve


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The operations by their ids."""
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def examples(content: dict[str, Any]) -> list[Any]:
    """The examples of a body."""
    return [content["example"]] if "example" in content else [one["value"] for one in content["examples"].values()]


async def test_the_document_has_every_route_of_the_api(api: Api) -> None:
    """Clients cannot find a route that is missing."""
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
    """Readers look at examples first."""
    _, document = await api.call("GET", "/openapi.json")

    lacking = [
        (path, method, status, media_type)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        for status, answer in operation["responses"].items()
        for media_type, content in answer.get("content", {}).items()
        if not content.get("examples") and "example" not in content
    ]
    assert lacking == []


async def test_every_body_that_is_sent_has_an_example(api: Api) -> None:
    """`/docs` fills it in, so a reader can try an operation with one click."""
    _, document = await api.call("GET", "/openapi.json")

    bodies = [operation["requestBody"] for _, operation in operations(document) if "requestBody" in operation]
    assert len(bodies) >= 5
    assert all("example" in content for body in bodies for content in body["content"].values())


async def test_every_example_is_as_its_schema_says(api: Api) -> None:
    """Readers copy examples."""
    # Imported here, as below: the import is slow, and each process of the tests would spend the time.
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # has no annotations

    _, document = await api.call("GET", "/openapi.json")

    contents = [
        content
        for _, operation in operations(document)
        for holder in (operation.get("requestBody", {}), *operation["responses"].values())
        for content in holder.get("content", {}).values()
    ]
    wrong = [
        (example, error.message)
        for content in contents
        for example in examples(content)
        for error in Draft202012Validator({**document, **content["schema"]}).iter_errors(example)
    ]
    assert wrong == []
    assert len(contents) > 100


async def test_the_document_is_openapi_3_1(api: Api) -> None:
    """It is checked by the schema of OpenAPI, with references and operation ids."""
    from openapi_spec_validator import OpenAPIV31SpecValidator

    _, document = await api.call("GET", "/openapi.json")

    OpenAPIV31SpecValidator(document).validate()


async def test_the_document_of_a_node_with_keys_asks_for_one(serve: Serve) -> None:
    """A generated client learns from it whether it needs a key."""
    keyed = await serve({"api_keys": parse_api_keys("first-key")})
    open_ = await serve()

    asked = [(await api.call("GET", "/openapi.json"))[1]["paths"]["/api/v1/users"]["get"] for api in (keyed, open_)]

    assert [operation["security"] for operation in asked] == [[{"key": ["read"]}], [{}, {"key": ["read"]}]]


async def test_a_new_occasion_is_an_insert_and_nothing_else(api: Api) -> None:
    """The field, its validation and its documentation follow from the row. Neither code nor schema changes."""
    await api.database.fetch("-- new\ninsert into occasions (code, template) values ('name_day', 'Hey, {full_name}')")

    user = await api.create(nameDayDate="2001-03-04")

    _, document = await api.call("GET", "/openapi.json")
    assert user["nameDayDate"] == "2001-03-04"
    assert "nameDayDate" in document["components"]["schemas"]["UserInput"]["properties"]


async def test_the_documentation_page_loads_nothing_from_another_host(api: Api) -> None:
    """It works without internet access, and under a policy that forbids inline scripts."""
    async with api.client.get("/docs") as response:
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]

    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    files = {}
    for link in links:
        async with api.client.get(f"/{link}") as response:
            files[link] = (response.status, await response.read())
    pictures = re.findall(rb"(?:url\(|@import)\s*[\"']?([a-z]+:|[^)]{0,40})", files["docs/swagger-ui.css"][1])
    assert {status for status, _ in files.values()} == {200}
    assert not any("//" in link for link in links)
    assert b"//" not in files["docs/start.js"][1]
    assert set(pictures) == {b"data:"}
    assert "<script>" not in page
    assert "style=" not in page
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


async def test_every_problem_type_leads_to_its_meaning(api: Api) -> None:
    """RFC 9457 recommends a URL with an explanation."""
    answers = [await api.call("GET", kind.type) for kind in KINDS.values()]

    assert {status for status, _ in answers} == {200}
    assert all(answer["meaning"] for _, answer in answers)
