"""A world in one process: servers in memory, nodes of the real code on ports to them, and a clock that can be set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from actors.failpoints import Failpoint
from actors.node import Node
from actors.runtime import Actor, Crashed, Escalated, Event, StopFailed, Stopped, TaskFailed, TooManyRestarts
from actors.wiring import Resources
from service.domain.occasions import understand
from service.domain.planning import CalendarDefaults, PlanningRules, UnsentDay
from service.domain.zones import TZDATA_VERSION
from service.ports import Followed, NodeName, PoolState
from service.ports.names import DUE, PLAN
from service.settings import Settings, read
from service.telemetry.metrics import Metrics
from tests.fakes.broker import Broker
from tests.fakes.coordination import FakeAcceptedKeys, FakeLocks, FakeRateLimit
from tests.fakes.delivery_queue import FakeDeliveryQueue
from tests.fakes.holds import FakeHolds
from tests.fakes.limits import FakeLimits
from tests.fakes.messages import FakeMessages
from tests.fakes.nodes import FakeNodes
from tests.fakes.occasions import FakeOccasions
from tests.fakes.planning import FakePlanning
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.streams import FakeWorkStream
from tests.fakes.suppressions import FakeSuppressions
from tests.fakes.truth import Truth
from tests.fakes.users import FakeUsers
from tests.simulation import visited
from tests.simulation.audit import Auditor, WatchedTruth
from tests.simulation.loop import BEGIN, Process, VirtualLoop, inside
from tests.simulation.network import Broken, Bug, Far, Link, Server, Weather
from tests.simulation.post import Calls, Post

REAL_BEGIN = datetime(2027, 1, 1, tzinfo=UTC)
"""The servers' own clock at first; business time has nothing to do with it."""

STREAMS = (PLAN, DUE)


PAUSE_NOTICED_WITHIN = 2.0
"""Seconds after a pause of its machine until a node has noticed it: its own clocks cannot tell, the database's can."""


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
        self.broken_links: dict[tuple[str, str], Broken] = {}
        """By node and server: the links that are broken while others reach the server."""
        self.over = False
        """True while the simulation itself ends."""
        self.violations: list[str] = []
        self.broken = asyncio.Event()
        self.post = Post(loop, rng, tell, on_accepted=lambda message: self.auditor.accepted(message))
        self.fallback = Post(
            loop, rng, tell, on_accepted=lambda message: self.auditor.accepted(message), primary=self.post
        )
        self.posts = [self.post, *([self.fallback] if self.settings.email_fallback is not None else [])]
        """The email services that there are."""
        self.defaults = CalendarDefaults(self.settings.send_at, self.settings.leap_day)
        """The environment of the nodes that are started from now on."""
        self.auditor = self.truth.auditor = Auditor(
            self.truth,
            self.post,
            self.fallback,
            self.rules,
            loop.time,
            self.living,
            self.report,
            began=begin,
            late_limit=self.settings.late_limit,
            attempts=self.settings.email_attempts,
            circuit_failures=self.settings.circuit_failures,
            only_to=self.settings.only_to,
        )
        self.nodes: list[SimulatedNode] = []
        self.users = self._far(self._users(), "postgres")
        self.operator = self._far(FakeMessages(self.truth), "postgres")
        self.holds = self._far(FakeHolds(self.truth), "postgres")
        self.limits = self._far(FakeLimits(self.truth), "postgres")
        self.suppressions = self._far(FakeSuppressions(self.truth), "postgres")

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
            node.node.context.lease._incarnation
            for node in self.nodes
            if node.runs and node.node is not None and node.node.context.lease._incarnation is not None
        )

    def rules(self) -> PlanningRules:
        """The rules in force."""
        defaults = self.truth.defaults or self.defaults
        occasions, _ = understand(row.stored for _, row in sorted(self.truth.occasions.items()))
        return PlanningRules(defaults.send_at, defaults.leap_day, occasions, self.truth.rules_version)

    def settings_of(self, name: str) -> Settings:
        """The settings of that node."""
        return replace(self.settings, node_id=name, send_at=self.defaults.send_at, leap_day=self.defaults.leap_day)

    def forget_faults(self) -> None:
        """Let every server be reached again."""
        for server in self.servers.values():
            server.weather, server.down = Weather(), False
        self.broker.swallows = False

    def _users(self) -> FakeUsers:
        return FakeUsers(self.truth, late_limit=self.settings.late_limit, tzdata=TZDATA_VERSION)

    def _far(self, port: object, server: str) -> Any:
        return Far(port, Link(self.loop, self.rng, self.servers[server], self.tell))

    def link(self, node: SimulatedNode, server: Server) -> Link:
        """Return the way of that node's present process to a server."""
        broken = partial(self.broken_links.get, (node.name, server.name))
        return Link(self.loop, self.rng, server, self.tell, broken)

    def calls(self, node: SimulatedNode, post: Post) -> Any:
        """Return the way of that node's present process to an email service (`Attempts`)."""
        return Calls(
            self.loop,
            post,
            timeout=self.settings.email_timeout,
            on_call=lambda greeting: self.auditor.called(
                greeting, node.believes, unnoticed=self.loop.time() - node.resumed_at < PAUSE_NOTICED_WITHIN
            ),
        )

    def resources(self, node: SimulatedNode) -> Callable[[Settings, Metrics, Callable[[], int]], Resources]:
        """Return the maker of the ports of that node's present process."""
        links = {name: self.link(node, server) for name, server in self.servers.items()}
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

        def make(settings: Settings, _metrics: Metrics, _living: Callable[[], int]) -> Resources:
            name = NodeName(settings.node_id)
            rate = settings.email_rate
            unused: Any = None  # only the API uses them, and `users` stands here for the API
            return Resources(
                name=name,
                messages=far(FakeMessages(self.truth, only_to=settings.only_to), "postgres"),
                planning=far(
                    FakePlanning(
                        self.truth,
                        defaults=CalendarDefaults(settings.send_at, settings.leap_day),
                        late_limit=settings.late_limit,
                        users_per_range=3,
                    ),
                    "postgres",
                ),
                nodes=far(
                    FakeNodes(self.truth, defaults=CalendarDefaults(settings.send_at, settings.leap_day)), "postgres"
                ),
                users=unused,
                previews=unused,
                overviews=unused,
                snapshots=None,
                zone_data=SameZoneData(self.truth),
                history=unused,
                occasions=FakeOccasions(self.truth),
                holds=unused,
                suppressions=unused,
                node_holds=far(FakeHolds(self.truth), "postgres"),
                limits=unused,
                node_limits=far(FakeLimits(self.truth), "postgres"),
                user_lists=unused,
                idempotency=unused,
                audit=unused,
                retention=NoAnswers(),
                streams={
                    stream: far(FakeWorkStream(self.memory, stream, consumer=name), "redis") for stream in STREAMS
                },
                locks=far(FakeLocks(self.memory, owner=settings.node_id), "redis"),
                accepted=far(FakeAcceptedKeys(self.memory, late_limit=settings.late_limit), "redis"),
                # It never fails: without Redis a node takes its share.
                rate=FakeRateLimit(self.memory, rate.per_second if rate else None),
                request_rate=None,
                queue=far(queue, "rabbitmq"),
                attempts=self.calls(node, self.post),
                fallback=(self.calls(node, self.fallback), FakeRateLimit(self.memory, None, name="email-fallback"))
                if settings.email_fallback is not None
                else None,
                api=lambda _parts: Actor(),
                pool=lambda: PoolState(0, 0, 10),
                lacking=nothing_lacks,
                schema=no_schema,
                recognise=nothing,
                on_database_changed=lambda _call: None,
                open=nothing,
                close=queue.close,
            )

        return make


class NoAnswers:
    """The API is never asked, so it keeps no answers."""

    async def forget_expired(self) -> int:
        return 0


class SameZoneData:
    """Every node has the release that all messages follow: its change is not part of any story."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def followed(self) -> Followed:
        """Ours, by all."""
        return Followed(
            TZDATA_VERSION, self._truth.planned_until, agreed=True, latest_node=max(self._truth.nodes, default=0)
        )

    async def unsent(self) -> list[UnsentDay]:
        """None with another."""
        return []

    async def follow(self, *_: object, **__: object) -> list[int]:
        """Nothing to move."""
        return []

    async def fall_back(self) -> None:
        """Ours is not older."""


class WatchedNode(Node):
    """A node whose actors must not crash, except by a bug that was put there."""

    world: World
    buggy: set[str]
    """The actors that had such a bug."""

    def tree_changed(self, event: Event) -> None:
        match event:
            case Crashed(actor, error) | TaskFailed(actor, _, error) | StopFailed(actor, error):
                self.world.tell("crashed", node=inside(), actor=actor, error=repr(error))
                if isinstance(error, Bug):
                    self.buggy.add(actor)
                # What is stopped while it waits for a server that does not answer is left behind, as it should be. A
                # node that drains restarts no actor, and those that need it fail with it: a sender must make no call
                # whose result cannot be written.
                elif not (isinstance(event, StopFailed) or (isinstance(error, Stopped) and error.actor in self.buggy)):
                    self.world.report(f"{actor} of {inside()} crashed: {error!r}")
            case Escalated():
                self.world.tell("gave up", node=inside(), actor=event.actor)
            case _:
                pass
        super().tree_changed(event)


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
        self.resumed_at = float("-inf")
        """The second of the loop's clock at which it continued after a pause of its machine."""
        self.drift = 0.0
        """Seconds by which its own clocks gain in a second."""
        self._paused_at: float | None = None
        self._time_lost = 0.0
        self._world = world
        self._starts = 0
        self._stop = asyncio.Event()

    @property
    def runs(self) -> bool:
        """True when its code runs at this moment."""
        return not (self.process.dead or self.process.frozen)

    @property
    def holds_lease(self) -> bool:
        """True when the node believes that it may act."""
        return self.node is not None and self.node.context.lease.held

    @property
    def believes(self) -> int | None:
        """The incarnation that the node believes to be its own."""
        return self.node.context.lease._incarnation if self.node is not None else None

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

    def pause(self) -> None:
        """Stop it with its clocks, as a hypervisor stops a guest."""
        if self.runs:
            self.freeze()
            self._paused_at = self._world.loop.time()

    def clock(self) -> float:
        """Seconds of its own steady clock, which drifts, and stands still while it is paused."""
        return (self._world.loop.time() - self._time_lost) * (1.0 + self.drift)

    def thaw(self) -> None:
        """Let it go on."""
        if self.process.frozen and not self.process.dead:
            if self._paused_at is not None:
                now = self._world.loop.time()
                self._time_lost += now - self._paused_at
                self._paused_at, self.resumed_at = None, now
            self._world.tell("thaw", node=self.process.name)
            self._world.auditor.resumed(self.believes)
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

    def _reached(self, step: Failpoint) -> None:
        self._world.auditor.visited[visited.failpoint(step)] += 1

    async def _run(self, process: Process) -> None:
        world = self._world
        try:
            node = WatchedNode(
                world.settings_of(self.name),
                resources=world.resources(self),
                rehearsal=True,
                steady=self.clock,
                elapsed=self.clock,
                failpoint=self._reached,
            )
            node.world, node.buggy = world, set()
            self.node = node
            clean = await node.run(self._stop)
            world.tell("drained", node=process.name, clean=clean)
        except TooManyRestarts as error:
            world.tell("ended", node=process.name, error=error)
        except Exception as error:
            world.report(f"{process.name} ended: {error!r}")
        finally:
            self._dies(process)
