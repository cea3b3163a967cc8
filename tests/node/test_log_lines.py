"""Each attempt and each request is one log line that says what happened."""

from __future__ import annotations

import signal

from tests.node.harness import World


async def test_each_attempt_is_one_line_with_what_became_of_it(small_world: World) -> None:
    """An operator searches the logs for the id of one greeting."""
    small_world.stub.change(small_world.stub.options.changed({"errorRate": 0.5}))
    await small_world.begin()
    node = await small_world.node(EMAIL_TIMEOUT="20s")
    due = await small_world.wave(20)
    await small_world.fetch(
        "update users set email = ' ' where id = (select user_id from messages order by id limit 1)"
    )
    await small_world.clock.set(due)
    await small_world.all_end()
    assert await node.drained() == 0

    rows = await small_world.fetch(
        "select message_id::text as message, number, outcome, status_code from attempts order by 1, 2"
    )
    lines = [line for line in node.lines if str(line.get("event")).startswith("greeting_")]
    assert sorted((line["message"], line["attempt"], line["outcome"], line["status_code"]) for line in lines) == [
        tuple(row) for row in rows
    ]
    assert len(node.lines_of("greeting_sent", outcome="accepted", level="info")) == 19
    assert len(node.lines_of("greeting_failed", outcome="permanent_failure", level="warning")) == 1
    assert node.lines_of("greeting_retrying", status_code=500) + node.lines_of("greeting_retrying", status_code=503)
    [failed] = node.lines_of("greeting_failed")
    assert failed["error"].startswith("400 Bad Request: expected")
    for line in lines:
        assert line.keys() - {"provider_id"} == {
            *("timestamp", "level", "event", "node", "message", "occasion", "attempt", "service", "outcome"),
            *("status_code", "seconds", "lateness", "recorded", "actor"),
            *([] if line["outcome"] == "accepted" else ["error"]),
        }
        assert (line["node"], line["occasion"], line["recorded"]) == ("node-1", "birthday", True)
        assert 0 <= line["lateness"] < 60
        assert line["actor"] in {f"senders-{number}" for number in range(4)}
        assert line["seconds"] > 0


async def test_each_request_is_one_line(small_world: World) -> None:
    """The line has the request's id, but neither the client nor the user."""
    node = await small_world.node(rehearsal=False)
    await node.logged("node_entered")

    await node.call("GET", "/api/v1/users?email=ada@example.com", headers={"X-Request-ID": "r-1"})

    line = await node.logged("http_request", request_id="r-1")
    assert line.keys() == {
        *("timestamp", "level", "event", "node", "actor", "request_id", "method", "route", "status", "seconds"),
        "key",
    }
    assert (line["method"], line["route"], line["status"], line["node"], line["actor"]) == (
        *("GET", "/api/v1/users", 200),
        *("node-1", "api"),
    )

    # Who watches asks again and again: only what has changed is a line.
    everything = {"If-None-Match": "*"}
    assert (await node.call("GET", "/api/v1/holds", headers=everything | {"X-Request-ID": "r-2"}))[0] == 304
    await node.call("GET", "/api/v1/holds", headers={"X-Request-ID": "r-3"})
    await node.logged("http_request", request_id="r-3")
    assert node.lines_of("http_request", request_id="r-2") == []


async def test_a_signal_switches_a_running_node_to_details_and_back(small_world: World) -> None:
    """A restart could end the fault that is being examined."""
    node = await small_world.node(rehearsal=False)
    await node.logged("node_entered")
    await node.get("/health/live")
    await node.call("GET", "/api/v1/holds", headers={"X-Request-ID": "r-1"})
    await node.logged("http_request", request_id="r-1")  # the lines of earlier requests are there
    assert node.lines_of("http_request", route="/health/live") == []

    node.send(signal.SIGUSR1)
    await node.logged("log_level_changed", to="debug")
    await node.get("/health/live")
    await node.logged("http_request", route="/health/live")
    node.send(signal.SIGUSR1)
    await node.logged("log_level_changed", to="info")
    await node.get("/health/ready")
    await node.call("GET", "/api/v1/holds", headers={"X-Request-ID": "r-2"})
    await node.logged("http_request", request_id="r-2")

    assert node.lines_of("http_request", route="/health/ready") == []
