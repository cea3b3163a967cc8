"""Every route answers 422 to a parameter or a field that it does not declare, such as `?dryRun=true`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.service.api.conftest import Api, Serve

STREAMED = {"/api/v1/users:import", "/api/v1/suppressions:import"}
ID = "01a22f42-7c66-74db-b60d-b28858b17fb6"


async def _operations(api: Api) -> list[tuple[str, str, Mapping[str, object]]]:
    """Method, path and description of every guarded operation, webhooks aside."""
    _, document = await api.call("GET", "/openapi.json")
    return [
        (method.upper(), re.sub(r"\{\w+\}", ID, path), operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path.startswith("/api/") and "email-events" not in path
    ]


async def test_every_route_refuses_a_parameter_that_it_does_not_know(api: Api) -> None:
    """Also those without parameters, and those that change something."""
    answers = {}
    for method, path, operation in await _operations(api):
        media = "application/x-ndjson" if path in STREAMED else "application/json"
        content: dict[str, dict[str, object]] = operation.get("requestBody", {}).get("content", {})  # type: ignore[attr-defined]
        body = next((one["example"] for one in content.values()), None)
        options = {} if body is None or path in STREAMED else {"json": body}
        status, problem = await api.call(
            method, f"{path}?unheardOf=1", headers={"Content-Type": media} if body else None, **options
        )
        answers[method, path] = status, (problem or {}).get("errors")

    expected = [{"field": "unheardOf", "message": "Unknown parameter.", "parameter": "unheardOf"}]
    assert len(answers) > 30
    assert {route: answer for route, answer in answers.items() if answer != (422, expected)} == {}


async def test_every_route_declares_that_it_refuses_parameters(api: Api) -> None:
    """Generated clients know the answer."""
    lacking = [(method, path) for method, path, one in await _operations(api) if "422" not in one["responses"]]  # type: ignore[operator]

    assert lacking == []


@pytest.mark.parametrize(
    ("headers", "status"), [([("Content-Encoding", "gzip")], 415), ([("Authorization", "Bearer x")] * 2, 400)]
)
async def test_every_route_declares_how_it_refuses_headers(
    api: Api, headers: list[tuple[str, str]], status: int
) -> None:
    """They are refused before the route is asked."""
    for method, path, operation in await _operations(api):
        got, _ = await api.call(method, path, headers=headers)
        assert (got, str(status) in operation["responses"]) == (status, True), (method, path)  # type: ignore[operator]


async def test_a_parameter_is_not_ignored_with_an_idempotency_key(api: Api) -> None:
    """The refusal is kept as others are."""
    headers = {"Idempotency-Key": "one"}
    for _ in range(2):
        status, _ = await api.call("POST", f"/api/v1/messages/{ID}:redrive?dryRun=true", headers=headers)
        assert status == 422


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 202),
        (b"{}", 202),
        (b" \n", 202),
        (b'{"dryRun": true}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b"{", 400),
        (b"dryRun=true", 400),
        (b" " * 70_000, 413),
    ],
)
async def test_a_route_without_a_body_refuses_fields(serve: Serve, body: bytes, status: int) -> None:
    """A job runs only if nothing was asked of it that it does not do."""
    runs = []

    async def job() -> dict[str, int]:
        runs.append(1)
        return {}

    api = await serve(jobs={"daily": job})

    got, answer = await api.call("POST", "/api/v1/jobs/daily:run", data=body)

    assert (got, len(runs)) == (status, int(status == 202)), answer
    if status == 422 and body.startswith(b"{"):
        assert answer["errors"] == [
            {"field": "dryRun", "message": "Unknown field: this request takes none.", "pointer": "#/dryRun"}
        ]
    paths = (await api.call("GET", "/openapi.json"))[1]["paths"]
    assert str(status) in paths["/api/v1/jobs/{job}:run"]["post"]["responses"]
