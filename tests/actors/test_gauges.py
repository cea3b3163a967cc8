"""The gauges of a node show a recent reading, or NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from actors.gauges import Gauges
from actors.runtime import ActorState, ChildView
from service.domain.messages import Status
from service.ports import Planned, PoolState, QueueDepth, StreamState, Unavailable
from service.ports.names import DUE
from service.telemetry.metrics import Metrics
from tests.actors.contexts import NOW, node_context
from tests.fakes.broker import Broker
from tests.fakes.delivery_queue import FakeDeliveryQueue
from tests.fakes.messages import FakeMessages
from tests.fakes.planning import FakePlanning
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.streams import FakeWorkStream
from tests.fakes.truth import Truth
from tests.service.node.steady import Steady

OF = {
    "postgres": [
        *("oldest_due_message_age_seconds", "planned_ahead_seconds", "queue_depth_total", "next_wave_messages"),
        'messages_by_status{status="queued"}',
    ],
    "redis": [f'stream_{what}{{stream="heyday:due"}}' for what in ("length", "pending", "oldest_pending_seconds")],
    "rabbitmq": ["delivery_queue_ready", "dead_letters"],
}

SHARED = [name for names in OF.values() for name in names]

CONSUMER = {"stream": DUE, "consumer": "node-2"}


@dataclass
class Network:
    """The systems that are out of reach."""

    away: set[str] = field(default_factory=set)

    def check(self, system: str) -> None:
        """Raise Unavailable while that system is out of reach."""
        if system in self.away:
            raise Unavailable(system, "cut off")


class FarMessages(FakeMessages):
    """The messages behind a network. A count of them takes `seconds`."""

    def __init__(self, truth: Truth, network: Network, steady: Steady) -> None:
        super().__init__(truth)
        self._network = network
        self._steady = steady
        self.seconds = 0.0

    async def open_by_status(self) -> dict[Status, int]:
        self._network.check("postgres")
        self._steady.passes(self.seconds)
        return await super().open_by_status()

    async def oldest_due_age(self) -> float:
        self._network.check("postgres")
        return await super().oldest_due_age()


class FarPlanning(FakePlanning):
    """Planning behind a network."""

    def __init__(self, truth: Truth, network: Network) -> None:
        super().__init__(truth)
        self._network = network

    async def planned(self) -> Planned:
        self._network.check("postgres")
        return await super().planned()


class FarStream(FakeWorkStream):
    """A stream behind a network."""

    def __init__(self, memory: RedisMemory, network: Network, *, consumer: str) -> None:
        super().__init__(memory, DUE, consumer=consumer)
        self._network = network

    async def state(self) -> StreamState:
        self._network.check("redis")
        return await super().state()


class FarQueue(FakeDeliveryQueue):
    """A delivery queue behind a network. `taken_by` has the bundles of each node, if the queue reports them."""

    def __init__(self, broker: Broker, network: Network) -> None:
        super().__init__(broker, prefetch=1)
        self._network = network
        self.taken_by: dict[str, int] = {}

    async def depth(self) -> QueueDepth:
        self._network.check("rabbitmq")
        depth = await super().depth()
        return QueueDepth(depth.ready, depth.unacknowledged, depth.dead, self.taken_by)


class Stage:
    """The gauges of one node on stores in memory."""

    def __init__(self, *, samples_for_all: Callable[[], bool] = lambda: True) -> None:
        self.network = Network()
        self.metrics = Metrics()
        truth = Truth(now=lambda: NOW)
        truth.planned_until = NOW + timedelta(hours=30)
        steady = Steady()
        self.memory = RedisMemory(monotonic=steady)
        self.messages = FarMessages(truth, self.network, steady)
        self.queue = FarQueue(Broker(), self.network)
        self.gauges = Gauges(
            node_context(steady, metrics=self.metrics),
            self.messages,
            FarPlanning(truth, self.network),
            {DUE: FarStream(self.memory, self.network, consumer="node-1")},
            self.queue,
            pool=lambda: PoolState(0, 0, 1),
            tree=lambda: ChildView("node", "supervisor", ActorState.RUNNING, None, None, 0, None, 0.0),
            samples_for_all=samples_for_all,
        )

    async def begin(self) -> None:
        """Let node-2 claim one entry of two, and leave one bundle in the queue."""
        stream = FakeWorkStream(self.memory, DUE, consumer="node-2")
        await stream.open()
        await stream.append([uuid4().hex, uuid4().hex])
        await stream.read(count=1, block=0)
        await self.queue.publish([(UUID(int=1),)])
        await self.gauges.run_once()

    def value(self, name: str) -> float:
        """The value of a metric, with one label or without."""
        of, _, label = name.partition("{")
        labels = {label.partition("=")[0]: label.partition("=")[2].strip('"}')} if label else {}
        value = self.metrics.registry.get_sample_value(of, labels)
        assert value is not None
        return value

    def values(self) -> dict[str, float]:
        """The values of all gauges of shared stores."""
        return {name: self.value(name) for name in SHARED}


@pytest.mark.parametrize("system", OF)
async def test_a_node_that_is_cut_off_does_not_go_on_showing_what_it_last_read(system: str) -> None:
    """Alerts use the maximum of all nodes: one old value would fire for hours, or hide that planning has stopped."""
    stage = Stage()
    await stage.begin()
    before = stage.values()

    stage.network.away = {system}
    with pytest.raises(Unavailable):
        await stage.gauges.run_once()
    away = stage.values()
    pending = stage.metrics.registry.get_sample_value("stream_consumer_pending", CONSUMER)
    stage.network.away = set()
    await stage.gauges.run_once()

    assert not any(math.isnan(value) for value in before.values())
    assert {name for name, value in away.items() if math.isnan(value)} == {*OF[system]}
    assert (pending is None) == (system == "redis")
    assert stage.values() == before
    assert before['stream_pending{stream="heyday:due"}'] == before["delivery_queue_ready"] == 1


@pytest.mark.parametrize(("takes", "wait"), [(0.0, 5.0), (0.25, 5.0), (0.5, 10.0), (1.0, 20.0), (3.0, 30.0)])
async def test_slow_counts_are_made_less_often(takes: float, wait: float) -> None:
    """While a session holds a snapshot, each count reads past all that left, and must not take a processor."""
    stage = Stage()
    stage.messages.seconds = takes

    assert await stage.gauges.run_once() == pytest.approx(wait)


async def test_the_holders_of_bundles_are_shown_where_the_delivery_queue_is_a_stream() -> None:
    """A node that hangs holds deliveries, and only their entries show which node it is."""
    stage = Stage()
    stage.queue.taken_by = {"node-3": 2}

    await stage.begin()

    consumer = {"stream": "heyday:delivery", "consumer": "node-3"}
    assert stage.metrics.registry.get_sample_value("stream_consumer_pending", consumer) == 2


async def test_one_node_samples_for_all_and_the_others_ask_no_server() -> None:
    """A hundred nodes that count the same rows every five seconds would be a load."""
    oldest = True
    stage = Stage(samples_for_all=lambda: oldest)
    await stage.begin()
    before = stage.values()

    oldest = False
    stage.network.away = set(OF)  # a question would fail
    await stage.gauges.run_once()

    assert not any(math.isnan(value) for value in before.values())
    assert all(math.isnan(value) for value in stage.values().values())
    assert stage.metrics.registry.get_sample_value("stream_consumer_pending", CONSUMER) is None
