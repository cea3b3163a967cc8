"""The routes of run-time limits."""

from __future__ import annotations

from typing import Any

import pytest

from service.environment import Rate
from tests.service.api.conftest import Serve

PATH = "/api/v1/limits"

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"emailRate": "0"}, "emailRate"),
    ({"emailRate": "0.5/s"}, "emailRate"),
    ({"emailRate": "fast"}, "emailRate"),
    ({"emailRate": ""}, "emailRate"),
    ({"emailRate": 50}, "emailRate"),
    ({"emailConcurrency": 0}, "emailConcurrency"),
    ({"emailConcurrency": 10_001}, "emailConcurrency"),
    ({"emailConcurrency": "5"}, "emailConcurrency"),
    ({"logLevel": "trace"}, "logLevel"),
    ({"emailTimeout": "5s"}, "emailTimeout"),
]


async def test_a_limit_stands_above_the_setting_until_it_is_removed(serve: Serve) -> None:
    """The answer says what decides, who changed it, and what the setting is."""
    api = await serve({"email_rate": Rate(100.0)})
    status, before = await api.call("GET", PATH)
    assert (status, before["emailRate"]["value"], before["emailRate"]["source"]) == (200, "100/s", "setting")
    assert before["emailConcurrency"] == {
        "value": 100, "source": "setting", "setting": 100, "author": None, "changedAt": None
    }  # fmt: skip

    status, changed = await api.call("PATCH", PATH, json={"emailRate": "30/m", "emailConcurrency": 7})
    assert status == 200
    assert (changed["emailRate"]["value"], changed["emailRate"]["source"]) == ("30/m", "limit")
    assert (changed["emailRate"]["setting"], changed["emailRate"]["author"]) == ("100/s", "no key")
    assert (changed["emailConcurrency"]["value"], changed["logLevel"]["source"]) == (7, "setting")
    assert await api.call("PATCH", PATH, json={}) == (200, changed)
    assert await api.call("GET", PATH) == (200, changed)

    _, removed = await api.call("PATCH", PATH, json={"emailRate": None, "logLevel": None})
    assert (removed["emailRate"]["value"], removed["emailRate"]["source"]) == ("100/s", "setting")
    assert removed["emailRate"]["changedAt"] is not None
    assert removed["emailConcurrency"]["value"] == 7
    _, audit = await api.call("GET", "/api/v1/audit")
    latest, *others = [(one["action"], one["subjectId"]) for one in audit["items"]]
    assert latest == ("limit.removed", "email_rate")
    assert sorted(others) == [("limit.changed", "email_concurrency"), ("limit.changed", "email_rate")]


@pytest.mark.parametrize(("body", "field"), REFUSED)
async def test_a_wrong_value_is_refused_with_what_was_expected(serve: Serve, body: dict[str, Any], field: str) -> None:
    """A limit that nodes cannot read would stop nothing when it is needed."""
    api = await serve()

    status, problem = await api.call("PATCH", PATH, json=body)

    assert (status, [one["field"] for one in problem["errors"]]) == (422, [field])
    assert problem["errors"][0]["message"].startswith(("Expected", "Unknown"))
    assert (await api.call("GET", PATH))[1]["emailRate"]["author"] is None
