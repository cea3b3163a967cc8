"""The gauges of a node are what it read lately, or nothing."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from actors.sampler import Sampler
from service.domain.messages import Status
from service.outages import Outages
from service.ports import PoolState, QueueDepth, Unavailable
from service.telemetry.metrics import Metrics

NOW = datetime(2027, 3, 14, 9, tzinfo=UTC)


class Servers:
    """A database, a stream and a queue with figures that do not change, while nothing is away."""

    def __init__(self) -> None:
        self.away: set[str] = set()

    def _of(self, system: str, figures: Any) -> Any:
        if system in self.away:
            raise Unavailable(system, "cut off")
        return figures

    async def occasions(self) -> Any:
        return self._of("postgres", [SimpleNamespace(code="birthday")])

    async def open_by_status(self) -> Any:
        return self._of("postgres", {Status.QUEUED: 7})

    async def oldest_due_age(self) -> Any:
        return self._of("postgres", 240.0)

    async def planned(self) -> Any:
        return self._of("postgres", SimpleNamespace(complete=NOW + timedelta(hours=30), now=NOW))

    async def state(self) -> Any:
        return self._of("redis", SimpleNamespace(length=3, pending={"node-2": 2}, oldest_pending=4.0))

    async def depth(self) -> Any:
        return self._of("rabbitmq", QueueDepth(ready=5, unacknowledged=2, dead=1, taken_by={"node-3": 2}))


OF = {
    "postgres": [
        *("oldest_due_message_age_seconds", "planned_ahead_seconds", "queue_depth_total"),
        'messages_by_status{status="queued"}',
    ],
    "redis": [f'stream_{what}{{stream="heyday:due"}}' for what in ("length", "pending", "oldest_pending_seconds")],
    "rabbitmq": ["delivery_queue_ready", "dead_letters"],
}


@pytest.mark.parametrize("system", OF)
async def test_a_node_that_is_cut_off_does_not_go_on_showing_what_it_last_read(system: str) -> None:
    """Alerts take the highest of all nodes: one old figure would fire for hours, or hide that planning has stopped."""
    servers: Any = Servers()
    metrics = Metrics()
    sampler = _sampler(servers, metrics)
    await sampler.turn()
    before = {name: _value(metrics, name) for names in OF.values() for name in names}

    servers.away = {system}
    with pytest.raises(Unavailable):
        await sampler.turn()
    away = {name: _value(metrics, name) for name in before}
    consumer = {"stream": "heyday:due", "consumer": "node-2"}
    sat_on = metrics.registry.get_sample_value("stream_consumer_pending", consumer)
    servers.away = set()
    await sampler.turn()

    assert not any(math.isnan(value) for value in before.values())
    assert {name for name, value in away.items() if math.isnan(value)} == {*OF[system]}
    assert (sat_on is None) == (system == "redis")
    assert {name: _value(metrics, name) for name in before} == before


async def test_who_sits_on_bundles_is_shown_where_the_delivery_queue_is_a_stream() -> None:
    """A node that hangs holds deliveries, and only their entries tell which."""
    servers: Any = Servers()
    metrics = Metrics()
    sampler = _sampler(servers, metrics)

    await sampler.turn()

    consumer = {"stream": "heyday:delivery", "consumer": "node-3"}
    assert metrics.registry.get_sample_value("stream_consumer_pending", consumer) == 2


def _sampler(servers: Any, metrics: Metrics) -> Sampler:
    return Sampler(
        servers, servers, {"heyday:due": servers}, servers,
        pool=lambda: PoolState(0, 0, 1), tree=_no_tree, outages=Outages(), metrics=metrics,
    )  # fmt: skip


def _value(metrics: Metrics, name: str) -> float:
    of, _, label = name.partition("{")
    labels = {label.partition("=")[0]: label.partition("=")[2].strip('"}')} if label else {}
    value = metrics.registry.get_sample_value(of, labels)
    assert value is not None
    return value


def _no_tree() -> Any:
    return SimpleNamespace(name="node", depth=None, children=())
