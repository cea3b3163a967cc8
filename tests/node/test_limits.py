"""A limit that is changed while nodes run: on every node within a second. Nodes with other settings are named."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tests.forks import folder_of_heyday
from tests.node.harness import World, eventually

BOUND = 1.0
"""Seconds after the answer at which no call begins any more by the earlier value."""


async def test_a_rate_is_lowered_in_the_midst_of_a_wave_on_all_nodes(small_world: World) -> None:
    """It is above the settings of all nodes, also of one that is started later."""
    world = small_world
    await world.begin()
    nodes = [await world.node(EMAIL_RATE="200/s", EMAIL_TIMEOUT="20s") for _ in range(2)]
    await world.clock.set(await world.wave(1_200))
    await world.accepted(100)

    status, changed = await nodes[0].call("PATCH", "/api/v1/limits", json={"emailRate": "10/s", "logLevel": "debug"})
    assert (status, changed["emailRate"]["value"]) == (200, "10/s")
    await asyncio.sleep(BOUND)  # the time that is promised
    calls = world.stub.ledger.requests
    assert calls < 1_200
    late = await world.node(EMAIL_RATE="200/s", EMAIL_TIMEOUT="20s")
    nodes.append(late)
    for node in nodes:
        said = await node.logged("limit_changed", limit="email_rate")
        assert (said["value"], said["source"]) == ("10/s", "limit")
        await node.logged("limit_changed", limit="log_level", value="debug")
        assert await node.metric("email_rate_configured_per_second") == 10
        assert await node.metric('limit_in_effect{limit="email_rate"}') == 1
    began = await world.value("select business_now()")
    await asyncio.sleep(3)
    ended = await world.value("select business_now()")
    _, health = await late.get("/health/detailed")
    assert (health["limits"]["emailRate"]["value"], health["limits"]["emailRate"]["setting"]) == ("10/s", "200/s")

    await nodes[1].call("PATCH", "/api/v1/limits", json={"emailRate": None, "emailConcurrency": 5, "logLevel": None})
    for node in nodes:
        await node.logged("limit_changed", limit="email_rate", source="setting", value="200/s")
    await world.all_are("sent", 1_200)
    await world.assert_each_was_accepted_once(1_200)
    # By the begin of each call. A busy email service counts some of them later.
    query = "select count(*) from attempts where started_at between $1 and $2"
    assert await world.value(query, began, ended) <= 10 * ((ended - began).total_seconds() + BOUND)
    assert await world.value("select max(attempts_spent) from messages") == 1
    assert await late.metric("email_concurrency") == 5


async def test_nodes_with_other_settings_are_named_by_doctor(small_world: World) -> None:
    """Each tells its version and its settings, without secrets."""
    world = small_world
    await world.begin()
    first = await world.node(EMAIL_CONCURRENCY="50", EMAIL_TOKEN="sesame-sesame")
    second = await world.node(EMAIL_CONCURRENCY="60")
    for node in (first, second):
        await node.logged("node_entered")

    async def both() -> Any:
        _, answer = await first.get("/api/v1/nodes")
        return answer if len(answer["items"]) == 2 else None

    shown = await eventually(both)
    by_node = {one["node"]: one for one in shown["items"]}
    assert {one["settings"]["email_concurrency"] for one in by_node.values()} == {"50", "60"}
    assert {one["settings"]["email_token"] for one in by_node.values()} == {"set", "off"}
    assert "sesame" not in str(shown)
    _, health = await second.get("/health/detailed")
    assert health["settings"]["settings"] == by_node["node-2"]["settings"]
    assert health["settings"]["version"] == by_node["node-2"]["version"]

    process = await asyncio.create_subprocess_exec(
        f"{folder_of_heyday()}/heyday",
        "doctor",
        env={**os.environ, **world.environment(EMAIL_CONCURRENCY="50")},
        stdout=asyncio.subprocess.PIPE,
    )
    out = (await process.communicate())[0].decode()
    assert "HEYDAY_EMAIL_CONCURRENCY differs between nodes: 50 on node-1; 60 on node-2" in out
    assert "HEYDAY_EMAIL_TOKEN differs between nodes: set on node-1; off on node-2" in out
    assert "HEYDAY_SEND_AT differs" not in out
