"""Tests `GET /audit`: each change except creations and edits of users, with its author."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from service.api_keys import parse_api_keys
from service.ports import AuditAction
from tests.node.harness import ROOT
from tests.service.api.conftest import Api, Serve, a_user, request_lines

KEYED: dict[str, Any] = {"api_keys": parse_api_keys("desk:operate:desk-secret,boss:admin:boss-secret")}


def by(key: str, request: str = "r-1") -> dict[str, dict[str, str]]:
    return {"headers": {"Authorization": f"Bearer {key}-secret", "X-Request-ID": request}}


async def entries(api: Api, query: str = "") -> list[dict[str, Any]]:
    status, page = await api.call("GET", f"/api/v1/audit{query}", **by("boss"))
    assert status == 200, page
    items: list[dict[str, Any]] = page["items"]
    return items


async def failed_message(api: Api) -> str:
    """A message that failed, of a new user."""
    _, user = await api.call("POST", "/api/v1/users", json=a_user(), **by("boss"))
    rows = await api.database.fetch(
        "insert into messages"
        " (user_id, occasion, local_year, timezone, send_at, due_at, status, attempt, tzdata, ended_at)"
        " values ($1, 'birthday', extract(year from business_now()), 'UTC', now(), now(), 'failed', 1, 't', now())"
        " returning id",
        user["id"],
    )
    return str(rows[0]["id"])


async def test_every_change_is_named_with_its_key_and_request(serve: Serve) -> None:
    """Redrives, deletions, erasures and job runs have an author."""

    async def daily() -> dict[str, int]:
        return {"ranges": 0}

    api = await serve(KEYED, jobs={"daily": daily})
    one, two = await failed_message(api), await failed_message(api)
    _, user = await api.call("POST", "/api/v1/users", json=a_user(), **by("desk"))

    changes = [
        ("POST", f"/api/v1/messages/{one}:redrive", None, "desk", 202),
        ("POST", "/api/v1/messages:redrive", {"status": "failed"}, "desk", 202),
        ("POST", "/api/v1/jobs/daily:run", None, "desk", 202),
        ("DELETE", f"/api/v1/users/{user['id']}", None, "desk", 204),
        ("DELETE", f"/api/v1/users/{user['id']}?erase=true", None, "boss", 204),
    ]
    for number, (method, path, body, key, status) in enumerate(changes):
        assert (await api.call(method, path, json=body, **by(key, f"request-{number}")))[0] == status

    found = {(one["action"], one["subjectKind"], one["subjectId"]): one for one in await entries(api)}
    assert found.keys() == {
        ("messages.redriven", "message", one),
        ("messages.redriven", "message", two),
        ("job.run", "job", "daily"),
        ("user.deleted", "user", user["id"]),
        ("user.erased", "user", user["id"]),
    }
    assert {(one["key"], one["role"], one["requestId"], one["osUser"]) for one in found.values()} == {
        ("desk", "operate", "request-0", None),
        ("desk", "operate", "request-1", None),
        ("desk", "operate", "request-2", None),
        ("desk", "operate", "request-3", None),
        ("boss", "admin", "request-4", None),
    }


async def test_edits_reads_refusals_and_dry_runs_leave_no_entry(serve: Serve) -> None:
    """The log has changes that an operator answers for. Edits of users are many, and are personal data."""
    api = await serve(KEYED)
    message = await failed_message(api)
    _, user = await api.call("POST", "/api/v1/users", json=a_user(), **by("boss"))
    path = f"/api/v1/users/{user['id']}"

    await api.call("PATCH", path, json={"firstName": "Augusta"}, **by("boss"))
    await api.call("DELETE", f"/api/v1/users/{uuid4()}?erase=true", **by("boss"))
    await api.call("POST", "/api/v1/messages:redrive", json={"status": "failed", "dryRun": True}, **by("desk"))
    await api.call("POST", f"/api/v1/messages/{uuid4()}:redrive", **by("desk"))
    await api.call("POST", "/api/v1/jobs/weekly:run", **by("desk"))
    await api.call("GET", f"/api/v1/messages/{message}", **by("desk"))

    assert await entries(api) == []


async def test_an_action_of_a_later_version_is_listed(serve: Serve) -> None:
    """Nodes of two versions run during an upgrade, and after a rollback the entries stay."""
    api = await serve(KEYED)
    await api.database.fetch(
        "insert into audit (key_name, role, action, subject_kind, subject_id)"
        " values ('boss', 'admin', 'provider.paused', 'provider', 'one')"
    )

    assert [one["action"] for one in await entries(api)] == ["provider.paused"]


async def test_an_erased_user_leaves_an_id_and_nothing_else(serve: Serve) -> None:
    """The log is kept longer than the user's data."""
    api = await serve(KEYED)
    _, user = await api.call("POST", "/api/v1/users", json=a_user(firstName="Zenobia"), **by("boss"))
    await api.call("DELETE", f"/api/v1/users/{user['id']}?erase=true", **by("boss"))

    (row,) = await api.database.fetch("select audit::text from audit")

    assert user["id"] in row["audit"]
    assert "Zenobia" not in row["audit"]
    assert user["email"] not in row["audit"]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?action=job.run", 3),
        ("?action=messages.redriven", 0),
        ("?key=desk", 3),
        ("?key=boss", 0),
        ("?key=command%20line", 0),
        ("?from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", 3),
        ("?to=2000-01-01T00:00:00Z", 0),
        ("?from=2100-01-01T00:00:00Z", 0),
    ],
)
async def test_entries_are_filtered(serve: Serve, query: str, count: int) -> None:
    """The filters are action, key and time."""
    api = await serve(KEYED, jobs={"daily": _nothing})
    for _ in range(3):
        await api.call("POST", "/api/v1/jobs/daily:run", **by("desk"))

    assert len(await entries(api, query)) == count


@pytest.mark.parametrize("query", ["?action=all", "?from=yesterday", "?limit=0", "?limit=501", "?cursor=x", "?who=me"])
async def test_a_filter_that_is_not_understood_is_refused(serve: Serve, query: str) -> None:
    """A misspelt filter must not return everything."""
    api = await serve(KEYED)

    status, problem = await api.call("GET", f"/api/v1/audit{query}", **by("boss"))

    assert (status, problem["type"]) == (422, "/problems/invalid-query")


async def test_pages_go_through_all_entries(serve: Serve) -> None:
    """The newest come first."""
    api = await serve(KEYED, jobs={"daily": _nothing})
    for number in range(5):
        await api.call("POST", "/api/v1/jobs/daily:run", **by("desk", f"r-{number}"))

    seen: list[str] = []
    query = "?limit=2"
    while query:
        _, page = await api.call("GET", f"/api/v1/audit{query}", **by("boss"))
        seen += [one["requestId"] for one in page["items"]]
        query = f"?limit=2&cursor={page['nextCursor']}" if page["nextCursor"] else ""

    assert sorted(seen) == [f"r-{number}" for number in range(5)]


async def _nothing() -> dict[str, int]:
    return {}


async def test_log_and_metrics_name_the_key_and_never_its_secret(serve: Serve) -> None:
    """Requests can be counted by key, and no label or line gives access to the API."""
    from structlog.testing import capture_logs

    api = await serve(KEYED)
    with capture_logs() as lines:
        await api.call("GET", "/api/v1/me", **by("desk"))
        await api.call("GET", "/api/v1/me", headers={"Authorization": "Bearer not-a-secret"})
        requests = await request_lines(lines, 2)
    async with api.client.get("/metrics") as response:
        metrics = await response.text()

    assert [line.get("key") for line in requests] == ["desk", None]
    assert 'http_requests_by_key_total{key="desk"} 1.0' in metrics
    assert 'http_requests_by_key_total{key="boss"} 0.0' in metrics
    assert "secret" not in str(lines) + metrics


def test_every_action_of_the_log_is_recorded_by_the_code() -> None:
    """A documented action that is never recorded would look as if it never happened."""
    source = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("service", "actors")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "audit.py"
    )

    assert [action for action in AuditAction if f"AuditAction.{action.name}" not in source] == []
