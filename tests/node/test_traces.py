"""Traces follow a greeting from claim to attempt over either queue, and never delay it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from actors.commands.sandbox.email_stub import StubOptions, serve
from tests.collector import Collector, Seen
from tests.node.harness import World, eventually
from tests.stopwatch import Stopwatch

AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
"""Spans are sent every 100 ms, not every five seconds."""

CLIENT = f"00-{0xC11E47:032x}-{0x5BA4:016x}-01"
"""The span of an API client."""


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A listening collector."""
    async with Collector().served() as collector:
        yield collector


@pytest.fixture(params=["rabbitmq", "redis"])
async def either_world(
    request: pytest.FixtureRequest, database: str, redis_url: str, rabbitmq_url: str
) -> AsyncIterator[World]:
    """A world on each delivery queue in turn."""
    stub = await serve("127.0.0.1", 0, StubOptions())
    of_rabbitmq = rabbitmq_url if request.param == "rabbitmq" else None
    world = World(dsn=database, redis_url=redis_url, rabbitmq_url=of_rabbitmq, stub=stub)
    yield world
    await world.close()


def linked(span: Seen, spans: list[Seen]) -> list[Seen]:
    """Return the linked spans; all must be in `spans`."""
    found = [one for one in spans if (one.trace, one.id) in span.links]
    assert len(found) == len(span.links) > 0
    return found


async def test_a_greeting_can_be_followed_across_the_queue(either_world: World, collector: Collector) -> None:
    """From its id to the attempt, the bundle and the claim; from its user to the request; and from log lines."""
    await either_world.begin()
    node = await either_world.node(TRACES=collector.url, EMAIL_URL=collector.url, EMAIL_TIMEOUT="20s", beside=AT_ONCE)
    await node.logged("node_entered")
    user = {"firstName": "A", "lastName": "B", "email": "a@b.test", "timezone": "UTC", "birthdayDate": "1990-03-15"}
    status, created = await node.call("POST", "/api/v1/users", json=user, headers={"traceparent": CLIENT})
    assert status == 201
    await node.get("/health/ready")
    await either_world.clock.set(await either_world.wave(3))
    await either_world.all_are("sent", 4)
    assert await node.drained() == 0

    queue = "heyday.delivery" if either_world.rabbitmq_url else "heyday:delivery"
    rows = await either_world.fetch("select id::text, user_id::text from messages")
    announced, claims = collector.named("announce heyday:plan"), collector.named("claim heyday:due")
    published, delivered = collector.named(f"publish {queue}"), collector.named(f"deliver {queue}")
    # Work that recovery appends, as at the first start, has no link.
    assert [linked(one, announced) for one in collector.named("plan heyday:plan") if one.links]
    for row in rows:
        [attempt] = collector.named("POST /send-email", heyday_message_id=row["id"])
        [delivery] = [one for one in delivered if one.id == attempt.parent]
        [publication] = linked(delivery, published)
        assert linked(publication, claims)
        assert (attempt.kind, delivery.kind, publication.kind) == ("client", "consumer", "producer")
        assert attempt.attributes["heyday.outcome"] == "accepted"
        assert attempt.attributes["http.response.status_code"] == 200
        assert str(collector.called[row["id"]]).split("-")[1:3] == [attempt.trace, attempt.id]
        assert node.lines_of("greeting_sent", message=row["id"], trace_id=delivery.trace)

    [request] = collector.named("POST /api/v1/users")
    assert CLIENT.split("-")[1:3] == [request.trace, request.parent]
    assert request.attributes["heyday.user.id"] == created["id"]
    assert node.lines_of("http_request", route="/api/v1/users", trace_id=request.trace, span_id=request.id)
    assert [one for one in collector.spans if one.parent == request.id and "db.system.name" in one.attributes]
    assert not [one for one in collector.spans if one.name.startswith("GET /health")]
    assert {one.resource["service.name"] for one in collector.spans} == {"heyday"}
    assert {one.resource["service.instance.id"] for one in collector.spans} == {"node-1"}


async def test_what_is_sampled_is_sampled_as_far_as_the_attempt(small_world: World, collector: Collector) -> None:
    """Sampled traces must be complete. Here only those of a client's request are kept."""
    await small_world.begin()
    off = {"OTEL_TRACES_SAMPLER": "parentbased_always_off", "OTEL_SERVICE_NAME": "greeter"}
    node = await small_world.node(TRACES=collector.url, EMAIL_URL=collector.url, beside=AT_ONCE | off)
    await node.logged("node_entered")
    await small_world.clock.set(await small_world.wave(3))
    await small_world.all_are("sent", 3)
    await node.call("GET", "/api/v1/users", headers={"traceparent": CLIENT})
    assert await node.drained() == 0

    assert {one.trace for one in collector.spans} == {CLIENT.split("-")[1]}
    assert {one.resource["service.name"] for one in collector.spans} == {"greeter"}
    assert [int(str(told).split("-")[3], 16) & 1 for told in collector.called.values()] == [0, 0, 0]


async def test_a_collector_that_is_away_costs_a_line_at_either_end(small_world: World, collector: Collector) -> None:
    """Neither greetings nor a draining node wait for it."""
    collector.ill = True
    await small_world.begin()
    node = await small_world.node(TRACES=collector.url, beside=AT_ONCE)
    await node.logged("node_entered")
    await small_world.clock.set(await small_world.wave(20))
    await small_world.all_are("sent", 20)
    await node.logged("outage_began", system="traces")

    async def ended() -> bool:
        await node.get("/api/v1/users")
        return bool(node.lines_of("outage_ended", system="traces"))

    collector.ill = False
    await eventually(ended)
    collector.hangs = True
    await node.get("/api/v1/users")
    watch = Stopwatch()
    assert await node.drained() == 0
    assert watch.seconds() < 20

    assert len(node.lines_of("outage_began", system="traces")) == 1
    [ended_once] = node.lines_of("outage_ended", system="traces")
    assert ended_once["lost"] > 0
    assert len(node.lines_of("spans_lost")) == 1
    assert [line for line in node.lines if line["level"] in ("error", "critical")] + node.said == []
    await small_world.assert_nobody_was_greeted_twice()


def test_nothing_of_opentelemetry_is_loaded_unless_it_was_asked_for() -> None:
    """Without traces, OpenTelemetry need not be installed; here its import fails."""
    program = """
import sys
sys.modules["opentelemetry"] = None
import actors.cli, actors.node, actors.wiring
from service.settings import Secret, Settings
from service.telemetry.tracing import OFF, start
assert start(Settings(Secret("postgresql://h/d"), Secret("redis://h"), Secret("http://h"))) is OFF
print([name for name in sys.modules if name in ("service.telemetry.spans", "service.telemetry.export")])
"""

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert ran.stdout == "[]\n"
