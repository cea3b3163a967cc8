"""A world in one process: servers in memory, nodes of the real code on ports to them, and a clock that can be set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from actors.node import Node
from actors.outside import Outside
from actors.runtime import Actor, Crashed, Escalated, Event, StopFailed, TaskFailed, TooManyRestarts
from service.domain.zones import TZDATA_VERSION
from service.planning import Rules
from service.ports import Followed, PoolState, UnsentDay
from service.settings import Settings, read
from service.telemetry.metrics import Metrics
from tests.fakes.broker import Broker
from tests.fakes.coordination import FakeAcceptedKeys, FakeLocks, FakeRateLimit
from tests.fakes.delivery_queue import FakeDeliveryQueue
from tests.fakes.messages import FakeMessages
from tests.fakes.nodes import FakeNodes
from tests.fakes.planning import FakePlanning
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.streams import FakeWorkStream
from tests.fakes.truth import OCCASIONS, Truth
from tests.fakes.users import FakeUsers
from tests.simulation.audit import Auditor, WatchedTruth
from tests.simulation.loop import BEGIN, Process, VirtualLoop, inside
from tests.simulation.network import Bug, Far, Link, Server, Weather
from tests.simulation.post import Calls, Post

REAL_BEGIN = datetime(2027, 1, 1, tzinfo=UTC)
"""The servers' own clock at first; business time has nothing to do with it."""

STREAMS = ("heyday:plan", "heyday:due")


class World:
    """Servers and nodes. `tell` hears of everything that happens, as an event with fields."""

    def __init__(
        self, loop: VirtualLoop, rng: Random, *, begin: datetime, rate: float, settings: dict[str, str], tell: Any
    ) -> None:
        self.loop = loop
        self.rng = rng
        self.tell: Callable[..., None] = tell
        self.settings = read(
            {
                "HEYDAY_DATABASE_URL": "postgresql://nowhere/heyday",
                "HEYDAY_REDIS_URL": "redis://nowhere",
                "HEYDAY_RABBITMQ_URL": "amqp://nowhere",
                "HEYDAY_EMAIL_URL": "http://127.0.0.1:9",
                **{f"HEYDAY_{name}": value for name, value in settings.items()},
            }
        )
        self._begin = begin
        self._rate = rate
        self._jumped = timedelta()
        self.servers = {name: Server(name, Weather()) for name in ("postgres", "redis", "rabbitmq")}
        self.truth = WatchedTruth(now=self.now, real_now=self.real_now, rate=lambda: rate)
        self.memory = RedisMemory(monotonic=loop.time)
        self.broker = Broker()
        self.over = False
        """Whether what still happens is only the end of the simulation itself."""
        self.violations: list[str] = []
        self.broken = asyncio.Event()
        self.post = Post(loop, rng, tell, on_accepted=lambda message: self.auditor.accepted(message))
        self.rules = Rules(self.settings.send_at, self.settings.leap_day, OCCASIONS)
        self.auditor = self.truth.auditor = Auditor(
            self.truth,
            self.post,
            self.rules,
            loop.time,
            self.living,
            self.report,
            began=begin,
            late_limit=self.settings.late_limit,
        )
        self.nodes: list[SimulatedNode] = []
        self.users = self._far(self._users(), "postgres")
        self.operator = self._far(FakeMessages(self.truth), "postgres")

    def now(self) -> datetime:
        """Business time."""
        return self._begin + timedelta(seconds=(self.loop.time() - BEGIN) * self._rate) + self._jumped

    def real_now(self) -> datetime:
        """The servers' own clock."""
        return REAL_BEGIN + timedelta(seconds=self.loop.time() - BEGIN)

    def jump(self, by: timedelta) -> None:
        """Set the business clock."""
        self._jumped += by
        if by < timedelta():
            self.auditor.set_back_at = self.loop.time()

    def report(self, violation: str) -> None:
        """A guarantee was broken."""
        if self.over:
            return
        self.tell("VIOLATION", what=violation)
        self.violations.append(violation)
        self.broken.set()

    def living(self) -> frozenset[int]:
        """The incarnations that a process which runs believes to be its own."""
        return frozenset(
            node.node.lease._incarnation
            for node in self.nodes
            if node.runs and node.node is not None and node.node.lease._incarnation is not None
        )

    def settings_of(self, name: str) -> Settings:
        """The settings of that node."""
        return replace(self.settings, node_id=name)

    def forget_faults(self) -> None:
        """Let every server be reached again."""
        for server in self.servers.values():
            server.weather, server.down = Weather(), False

    def _users(self) -> FakeUsers:
        return FakeUsers(self.truth, late_limit=self.settings.late_limit, tzdata=TZDATA_VERSION)

    def _far(self, port: object, server: str) -> Any:
        return Far(port, Link(self.loop, self.rng, self.servers[server], self.tell))

    def outside(self, node: SimulatedNode) -> Callable[[Settings, Metrics, Callable[[], int]], Outside]:
        """What makes the ports of that node's present process."""
        links = {name: Link(self.loop, self.rng, server, self.tell) for name, server in self.servers.items()}
        queue = FakeDeliveryQueue(self.broker, prefetch=4)
        node.links, node.queue = list(links.values()), queue

        def far(port: object, server: str) -> Any:
            return Far(port, links[server])

        async def nothing() -> None:
            return None

        async def no_schema() -> int:
            return 0

        async def nothing_lacks() -> list[str]:
            return []

        def make(settings: Settings, _metrics: Metrics, _living: Callable[[], int]) -> Outside:
            name = settings.node_id
            rate = settings.email_rate
            unused: Any = None  # by anybody but the API, for which `users` stands here
            return Outside(
                messages=far(FakeMessages(self.truth), "postgres"),
                planning=far(FakePlanning(self.truth, users_per_range=3), "postgres"),
                nodes=far(FakeNodes(self.truth), "postgres"),
                users=unused,
                previews=unused,
                zone_data=SameZoneData(self.truth),
                history=unused,
                idempotency=unused,
                kept_answers=NoAnswers(),
                streams={
                    stream: far(FakeWorkStream(self.memory, stream, consumer=name), "redis") for stream in STREAMS
                },
                locks=far(FakeLocks(self.memory, owner=name), "redis"),
                accepted=far(FakeAcceptedKeys(self.memory, late_limit=settings.late_limit), "redis"),
                # It never fails: without Redis a node takes its share.
                rate=FakeRateLimit(self.memory, rate.per_second if rate else 1e6),
                request_rate=None,
                queue=far(queue, "rabbitmq"),
                attempts=Calls(
                    self.loop,
                    self.post,
                    timeout=settings.email_timeout,
                    on_call=lambda greeting: self.auditor.called(greeting, node.believes),
                ),
                api=lambda _parts: Actor(),
                pool=lambda: PoolState(0, 0, 10),
                lacking=nothing_lacks,
                schema=no_schema,
                recognise=nothing,
                on_other_database=lambda _call: None,
                open=nothing,
                close=queue.close,
            )

        return make


class NoAnswers:
    """Where nobody asks the API, it keeps nothing."""

    async def forget_expired(self) -> int:
        return 0


class SameZoneData:
    """Every node has the release that all messages follow: its change is not part of any story."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def followed(self) -> Followed:
        """Ours, by all."""
        return Followed(TZDATA_VERSION, self._truth.planned_up_to, agreed=True)

    async def unsent(self) -> list[UnsentDay]:
        """None with another."""
        return []

    async def follow(self, *_: object, **__: object) -> list[int]:
        """Nothing to move."""
        return []

    async def fall_back(self) -> None:
        """Ours is not older."""


class WatchedNode(Node):
    """A node of which nobody expects an actor to crash, but for a bug that was put there."""

    world: World

    def _event(self, event: Event) -> None:
        match event:
            case Crashed(actor, error) | TaskFailed(actor, _, error) | StopFailed(actor, error):
                self.world.tell("crashed", node=inside(), actor=actor, error=repr(error))
                # What is stopped while it waits for a server that does not answer is left behind, as it should be.
                if not isinstance(error, Bug) and not isinstance(event, StopFailed):
                    self.world.report(f"{actor} of {inside()} crashed: {error!r}")
            case Escalated():
                self.world.tell("gave up", node=inside(), actor=event.actor)
            case _:
                pass
        super()._event(event)


class SimulatedNode:
    """A node as its operator sees it: a process that is started, stopped for a while, killed, drained."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.process = Process(name)
        self.process.dead = True
        self.node: WatchedNode | None = None
        self.links: list[Link] = []
        self.queue: FakeDeliveryQueue | None = None
        self.wanted = False
        self._world = world
        self._starts = 0
        self._stop = asyncio.Event()

    @property
    def runs(self) -> bool:
        """Whether its code runs at this moment."""
        return not (self.process.dead or self.process.frozen)

    @property
    def believes(self) -> int | None:
        """The incarnation that it takes itself for."""
        return self.node.lease._incarnation if self.node is not None else None

    def start(self) -> None:
        """Start a process, unless there is one."""
        self.wanted = True
        if not self.process.dead:
            return
        self._starts += 1
        self.process = Process(f"{self.name}.{self._starts}")
        self._stop = asyncio.Event()
        self._world.tell("start", node=self.process.name)
        self._world.loop.in_process(self.process, self._run(self.process), name=self.process.name)

    def kill(self) -> None:
        """End it as a power cut would: nothing of it runs any more, and its connections are lost."""
        if self.process.dead:
            return
        self._world.tell("kill", node=self.process.name)
        self._dies(self.process)

    def freeze(self) -> None:
        """Stop it as SIGSTOP does."""
        if self.runs:
            self._world.tell("freeze", node=self.process.name)
            self.process.frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        if self.process.frozen and not self.process.dead:
            self._world.tell("thaw", node=self.process.name)
            self._world.loop.thaw(self.process)

    def drain(self) -> None:
        """Let it finish and leave."""
        if self.runs:
            self._world.tell("drain", node=self.process.name)
            self._stop.set()

    def _dies(self, process: Process) -> None:
        process.dead = True
        process.held.clear()
        for link in self.links:
            link.cut()
        if self.queue is not None:
            self.queue.lose()

    async def _run(self, process: Process) -> None:
        world = self._world
        try:
            node = WatchedNode(
                world.settings_of(self.name),
                outside=world.outside(self),
                rehearsal=True,
                steady=world.loop.time,
                elapsed=world.loop.time,
            )
            node.world = world
            self.node = node
            clean = await node.run(self._stop)
            world.tell("drained", node=process.name, clean=clean)
        except TooManyRestarts as error:
            world.tell("ended", node=process.name, error=error)
        except Exception as error:
            world.report(f"{process.name} ended: {error!r}")
        finally:
            self._dies(process)
