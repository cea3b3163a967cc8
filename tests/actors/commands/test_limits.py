"""`heyday limits`, called as on the command line, and what `heyday doctor` says of limits and of nodes that differ."""

from __future__ import annotations

import json
import os
import pwd

import pytest

from actors.commands.doctor.check_results import Level
from actors.commands.doctor.environment_checks import compare_nodes
from service.adapters.postgres.checkup import LivingNode
from tests.actors.commands.conftest import Run
from tests.service.adapters.postgres.conftest import Store


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "show"],
        ["show", "--json"],
        ["set", "--email-rate", "50", "--json"],
        ["--json", "set", "--email-rate", "50"],
        ["remove", "email-rate", "--json"],
    ],
)
async def test_json_may_be_asked_for_before_and_after_the_action(heyday: Run, words: list[str]) -> None:
    """Every other command takes it after its action."""
    code, out, _ = await heyday("limits", *words)

    assert (code, list(json.loads(out))) == (0, ["emailRate", "emailConcurrency", "logLevel"])


async def test_an_operator_sets_looks_and_removes(heyday: Run, store: Store) -> None:
    """The settings of the nodes are shown beside the limit."""
    for node, rate in (("node-1", "100/s"), ("node-2", "off")):
        await store.fetch(
            "insert into nodes (node, version, settings) values ($1, '0.1.0', $2)",
            node,
            json.dumps({"email_rate": rate}),
        )
    user = pwd.getpwuid(os.getuid()).pw_name

    code, out, _ = await heyday("limits")
    assert code == 0
    assert "email-rate  no limit: HEYDAY_EMAIL_RATE is 100/s or off\n" in out
    assert "log-level  no limit: no node tells its HEYDAY_LOG_LEVEL\n" in out

    code, out, _ = await heyday("limits", "set", "--email-rate", "50", "--log-level", "debug")
    assert code == 0
    assert f"email-rate  50/s by {user} since " in out
    assert "(HEYDAY_EMAIL_RATE is 100/s or off)" in out
    assert "Within a second" in out
    _, out, _ = await heyday("limits", "--json")
    limits = json.loads(out)
    assert (limits["emailRate"]["limit"], limits["emailRate"]["settings"]) == (
        "50/s",
        {"node-1": "100/s", "node-2": "off"},
    )

    code, out, _ = await heyday("limits", "remove", "email-rate")
    assert (code, f"email-rate  removed by {user} since " in out) == (0, True)
    assert "There was no limit" not in out
    code, out, _ = await heyday("limits", "remove", "email-rate", "email-concurrency")  # removed, and never set
    assert code == 0
    assert out.endswith("There was no limit email-rate to remove.\nThere was no limit email-concurrency to remove.\n")
    assert json.loads((await heyday("limits", "--json"))[1])["logLevel"]["limit"] == "debug"
    audited = await store.fetch("select action, subject_id, os_user from audit order by action, subject_id")
    assert [tuple(row) for row in audited] == [
        ("limit.changed", "email_rate", user),
        ("limit.changed", "log_level", user),
        ("limit.removed", "email_rate", user),
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["set"],
        ["set", "--email-rate", "0.5/s"],
        ["set", "--email-concurrency", "0"],
        ["set", "--log-level", "loud"],
        ["remove"],
        ["remove", "email-timeout"],
    ],
)
async def test_wrong_words_are_usage(heyday: Run, words: list[str]) -> None:
    """Nothing is changed."""
    assert (await heyday("limits", *words))[0] == 2
    assert json.loads((await heyday("limits", "--json"))[1])["emailRate"]["author"] is None


def node(name: str, *, version: str = "0.1.0", **settings: str) -> LivingNode:
    """A living node with these settings."""
    return LivingNode(1, name, 0.1, version, settings)


def test_each_setting_that_differs_is_named_with_the_value_of_each_node() -> None:
    """Greetings leave at the hour, and at the rate, of whichever node is asked."""
    found = compare_nodes(
        [
            node("a", send_at="09:00:00", email_rate="100/s", only_to="0"),
            node("b", send_at="10:00:00", email_rate="100/s", only_to="0", version="0.2.0"),
            node("c", send_at="09:00:00", email_rate="100/s"),
        ]
    )

    assert [one.text for one in found] == [
        "version differs between nodes: 0.1.0 on a, c; 0.2.0 on b",
        "HEYDAY_ONLY_TO differs between nodes: 0 on a, b; unknown on c",
        "HEYDAY_SEND_AT differs between nodes: 09:00:00 on a, c; 10:00:00 on b",
    ]
    assert {one.level for one in found} == {Level.WARNING}


def test_nodes_that_are_alike_are_well() -> None:
    """One node alone is not compared, and one of an earlier version cannot be."""
    assert [one.level for one in compare_nodes([node("a", send_at="09:00:00"), node("b", send_at="09:00:00")])] == [
        Level.OK
    ]
    assert compare_nodes([node("a", send_at="09:00:00")]) == []
    assert [one.level for one in compare_nodes([LivingNode(1, "old", 0.1, None, None)])] == [Level.WARNING]
