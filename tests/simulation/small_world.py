"""A small world whose every step is chosen from outside: which call is served next, and what becomes of it.

The nodes are the production code: ticker, dispatcher and delivery, and recovery where a node has died. They run until
each of them waits for a call. Then the walk chooses: serve one of the waiting calls, let it fail, kill a node, and so
on. Nothing is drawn at random, so the same choices lead to the same state.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import random
import secrets
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache, partial
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from actors import node as node_module
from actors import node_health, ticker
from actors.node import periodic
from actors.runtime import AnyChild, ChildSpec, Strategy, Supervisor
from actors.runtime.actor_instance import ActorInstance
from service.domain.bundles import decode
from service.domain.messages import Answer, Outcome, Status
from service.domain.users import Profile
from service.ports import Emptied, Greeting, NodeBeat, StaleFencingToken, Unavailable
from service.ports.names import DUE
from service.settings import Settings, read
from service.telemetry.metrics import Metrics
from tests.fakes.nodes import FakeNodes
from tests.fakes.rows import ENDED, UserRow
from tests.simulation import world as world_module
from tests.simulation.inner_state import InnerState
from tests.simulation.loop import INSIDE, Process, VirtualLoop
from tests.simulation.network import Link, Server
from tests.simulation.post import Post
from tests.simulation.world import SimulatedNode, WatchedNode, World

NOON = datetime(2027, 3, 14, 9, 0, 1, tzinfo=UTC)

STEPS = frozenset(
    {
        *("claim_due", "append", "requeue", "requeue_claim", "read", "publish", "finish"),
        *("claim_for_sending", "accepted", "remember", "record", "acknowledge", "release_claims"),
    }
)
"""Calls that change something, or on whose answer a change depends. Each is a step of its own.

All other calls are answered at once: what they say only delays work, and a later step decides."""

COMMUTES = frozenset({"remember", "acknowledge", "finish"})
"""Calls of a node about what it alone holds: a key, a bundle, an entry. While no node can end its incarnation, no step
of another node changes their result, and they change none of another: see `Choice.commutes`."""

SETTLES_WITHIN = 60.0
"""Seconds of virtual time after the last choice in which every message ends."""

LONGEST_WAIT = 20.0
"""Seconds of virtual time without a choice after which there is none any more."""

LONGEST_RUN = 60.0
"""Seconds of virtual time in which there are choices. A run that is longer is not whole: it works and gets nowhere."""

SLOW_FOR = ticker.LOCK_TTL + 0.1
"""Seconds for which all calls are slow: the lock of a ticker expires meanwhile."""


class Fate(StrEnum):
    """The possible ends of a call."""

    DONE = "done"
    REFUSED = "refused"
    """It takes no effect, and its caller knows nothing."""
    LOST = "lost"
    """It takes effect, and its caller gets no answer."""
    SWALLOWED = "swallowed"
    """It takes no effect, and its caller does not learn that: a publish is confirmed, a mail is not answered."""


@dataclass(frozen=True)
class Choice:
    """One thing that may happen next. `fault` counts against the bound."""

    name: str
    happens: Callable[[], None]
    fault: bool = False
    commutes: bool = False
    """True if, without a further fault, every order with the steps of other nodes leads to the same state.

    Then it is enough to take it first, which is a persistent set of one step (Godefroid, 1996)."""


@dataclass(eq=False)
class Step:
    """A call that waits to be served. `serve` does it; its caller waits for `answer`."""

    node: SmallNode
    process: Process
    name: str
    args: tuple[Any, ...]
    serve: Callable[[], Any]
    answer: asyncio.Future[Any]
    possible: Callable[[], bool] = lambda: True


class StepLink(Link):
    """The way of a node to a server: its calls wait until they are chosen."""

    def __init__(self, world: SmallWorld, node: SmallNode, server: Server) -> None:
        super().__init__(world.loop, world.rng, server, world.tell)
        self._world = world
        self._node = node

    def cut(self) -> None:
        """Forget the calls of a process that is gone."""
        self._world.waiting = [one for one in self._world.waiting if not one.process.dead]

    async def call(self, port: Any, name: str, args: Any, kwargs: Any) -> Any:
        method, node = getattr(port, name), self._node
        if name not in STEPS or (name == "read" and port.name != DUE):
            return await method(*args, **kwargs)
        if name == "read":
            kwargs = {**kwargs, "block": 0.0}

        def something_is_there() -> bool:
            stream = self._world.memory.streams.get(DUE)
            return stream is None or stream.group is None or max(stream.entries, default=0) > stream.group.read_up_to

        return await self._world.ask(
            Step(
                node,
                node.process,
                name,
                args,
                lambda: drive(method(*args, **kwargs)),
                self._world.loop.create_future(),
                something_is_there if name == "read" else lambda: True,
            )
        )


class StepCalls:
    """The way of a node to the email service."""

    def __init__(self, world: SmallWorld, node: SmallNode) -> None:
        self.timeout = world.settings.email_timeout
        self._world = world
        self._node = node

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def attempt(self, greeting: Greeting) -> Answer:
        """Make one attempt."""
        world, node = self._world, self._node
        world.auditor.called(greeting, node.believes, unnoticed=node.evicted)
        world.post.called[greeting.id].append(world.loop.time())

        def accept() -> Answer:
            world.post.accept(greeting)
            return Answer(Outcome.ACCEPTED, 0.01, status_code=200)

        step = Step(node, node.process, "attempt", (greeting.id,), accept, world.loop.create_future())
        answer: Answer = await world.ask(step)
        return answer


class SmallTree(WatchedNode):
    """A node with the actors through which a greeting goes, and no others."""

    def _make_tree(self) -> Supervisor:
        children: list[AnyChild] = [
            self._make_delivery(),
            periodic("dispatcher", self._make_dispatcher),
            ChildSpec("ticker", self._make_ticker, self._ticker),
        ]
        return self._supervisor("node", children, Strategy.ONE_FOR_ONE)

    def _store_emptied(self, emptied: Emptied) -> None:
        """Do nothing: there is no recovery before the end."""


class SmallNode(SimulatedNode):
    """A node that believes in its lease until it ends. Others may end it meanwhile: it is `evicted`, and goes on."""

    def __init__(self, world: SmallWorld, name: str) -> None:
        super().__init__(world, name)
        self.incarnation = 0
        self.evicted = False
        self._small = world

    async def _run(self, process: Process) -> None:
        world = self._small
        self.incarnation, self.evicted = drive(FakeNodes(world.truth).enter(self.name)), False
        node = SmallTree(
            world.settings_of(self.name),
            resources=world.resources(self),
            rehearsal=True,
            steady=world.loop.time,
            elapsed=lambda: 0.0,  # the lease and the reading of the holds do not grow old
            failpoint=self._reached,
        )
        node.world = world
        node.context.lease.renew(self.incarnation, 0.0)
        node.context.holds.renew((), 0.0)
        self.node = node
        await node.run(asyncio.Event())


class SmallWorld(World):
    """Nodes, messages that are due now, and the calls that wait."""

    def __init__(self, *, nodes: int, messages: int) -> None:
        super().__init__(
            VirtualLoop(), Random(0), begin=NOON, rate=1.0, settings={"DELIVERY_ACTORS": "1"}, tell=self._told
        )
        self.waiting: list[Step] = []
        """The calls that wait, in the order in which they were made."""
        self.trace: list[str] = []
        self.swallowed: set[UUID] = set()
        self._highest_token = 0
        self._claims = 0
        self._claim_of: dict[UUID, int] = {}
        self._last_claim: dict[str, int] = {}
        self._claim_of_entry: dict[int, int] = {}
        for number in range(messages):
            self._person(number)
        self.nodes += [SmallNode(self, f"node-{number + 1}") for number in range(nodes)]

    @property
    def small(self) -> list[SmallNode]:
        """The nodes."""
        return [node for node in self.nodes if isinstance(node, SmallNode)]

    def link(self, node: SimulatedNode, server: Server) -> Link:
        assert isinstance(node, SmallNode)
        return StepLink(self, node, server)

    def calls(self, node: SimulatedNode, post: Post) -> Any:
        assert isinstance(node, SmallNode)
        return StepCalls(self, node)

    def _told(self, event: str, /, **fields: object) -> None:
        if event in ("VIOLATION", "crashed"):
            self.trace.append(f"{event} {fields}")

    def _person(self, number: int) -> None:
        profile = Profile("Ada", str(number), f"{number}@a.test", "UTC", {"birthday": NOON.date().replace(year=1992)})
        then, due = NOON - timedelta(days=30), NOON.replace(second=0)
        row = UserRow(
            id=self.truth.new_user_id(),
            profile=profile,
            email_key=profile.email,
            version=1,
            created_at=then,
            updated_at=then,
        )
        self.truth.put_user(row)
        self.truth.insert_message(row, "birthday", NOON.year, due, due_at=due, tzdata="2026a")
        self.truth.messages = {id_: replace(row, planned_at=then) for id_, row in self.truth.messages.items()}

    # --- running -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every node, and run until each waits. A new ticker first takes back what it had claimed: nothing."""
        for node in self.nodes:
            node.start()
        self.settle()
        while (step := next((one for one in self.possible if one.name == "requeue_claim"), None)) is not None:
            self._serve(step, Fate.DONE)

    def settle(self) -> None:
        """Run all that is ready. No time passes."""
        while self.loop._ready:
            self.loop._run_once()
        self._sort_timers()

    def _sort_timers(self) -> None:
        """Let those that are due in the same millisecond run in the order of their names, whenever they were made."""
        timers = [heapq.heappop(self.loop._scheduled) for _ in range(len(self.loop._scheduled))]
        for timer in timers:
            timer._when = round(timer._when, 3)
        self.loop._called_off = 0
        # In place, and a sorted list is a heap.
        self.loop._scheduled[:] = sorted((timer for timer in timers if not timer._cancelled), key=_turn)

    def pass_time(self, seconds: float | None = None) -> None:
        """Let time pass until something happens, or for so many seconds."""
        until = self.loop.time() + seconds if seconds is not None else None
        while self.loop._scheduled:
            self.loop._run_once()  # to the next timer
            self.settle()
            if until is None or self.loop.time() >= until:
                return

    async def ask(self, step: Step) -> Any:
        """Wait until the call was chosen."""
        self.waiting.append(step)
        try:
            return await step.answer
        finally:
            if step in self.waiting:
                self.waiting.remove(step)

    @property
    def possible(self) -> list[Step]:
        """The calls that can be served now."""
        return [step for step in self.waiting if step.possible()]

    @property
    def wrong(self) -> list[str]:
        """The sentences about broken guarantees, and the errors that no task handled."""
        return self.violations + [str(error.get("exception", error["message"])) for error in self.loop.errors]

    @property
    def ended(self) -> bool:
        """True when every message has ended."""
        return all(row.status in ENDED for row in self.truth.messages.values())

    @property
    def alive(self) -> bool:
        """True while a node runs."""
        return any(node.runs for node in self.nodes)

    # --- the choices -------------------------------------------------------------------------------------------------

    def choices(self) -> list[Choice]:
        """The steps that are possible now. The first one serves the oldest call well."""
        steps = self.possible
        found = [self._serves(step, Fate.DONE) for step in steps]
        for step in steps:
            if step.name != "read":
                found += [self._serves(step, Fate.REFUSED), self._serves(step, Fate.LOST)]
            if step.name in ("publish", "attempt"):
                found.append(self._serves(step, Fate.SWALLOWED))
        for node in self.small:
            if node.runs:
                found.append(Choice(f"{node.name} dies", partial(self._dies, node), fault=True))
                if not node.evicted and len(self.nodes) > 1:
                    found.append(Choice(f"{node.name} is evicted", partial(self._evict, node), fault=True))
        found.append(Choice("Redis is emptied", self._flush, fault=True))
        found.append(Choice("the queue is emptied", self._purge, fault=True))
        found.append(Choice("all is slow", lambda: self.pass_time(SLOW_FOR), fault=True))
        return found

    def _serves(self, step: Step, fate: Fate) -> Choice:
        name = f"{step.node.name} {step.name}" + ("" if fate is Fate.DONE else f" {fate}")
        done = fate is Fate.DONE
        commutes = done and step.name in COMMUTES and not step.node.evicted
        return Choice(name, lambda: self._serve(step, fate), fault=not done, commutes=commutes)

    def _serve(self, step: Step, fate: Fate) -> None:
        self.waiting.remove(step)
        result: Any = None
        error: Exception | None = None
        if fate is Fate.SWALLOWED and step.name == "publish":
            self.swallowed.update(message for bundle in step.args[0] for message in bundle)
        elif fate is Fate.SWALLOWED:
            result = Answer(Outcome.UNKNOWN, 0.01, error="no answer in time", timed_out=True)
        elif fate is not Fate.REFUSED:
            try:
                self._check(step)
                result = step.serve()
                self._note(step, result)
            except (Unavailable, Emptied, StaleFencingToken) as raised:
                error = raised
            self._check_token(step, result)
        if fate in (Fate.REFUSED, Fate.LOST):
            result, error = self._failure(step, fate)
        if not step.answer.done():
            if error is not None:
                step.answer.set_exception(error)
            else:
                step.answer.set_result(result)
        self.settle()

    def _failure(self, step: Step, fate: Fate) -> tuple[Any, Exception | None]:
        if step.name == "attempt":
            if fate is Fate.LOST:
                return Answer(Outcome.UNKNOWN, 0.01, error="the connection was lost"), None
            return Answer(Outcome.TRANSIENT_FAILURE, 0.01, error="no connection"), None
        if step.name == "acknowledge":
            if fate is Fate.REFUSED and step.node.queue is not None:
                step.node.queue.lose()
            return None, None
        return None, Unavailable("server", fate)

    def _dies(self, node: SmallNode) -> None:
        node.kill()
        self.waiting = [one for one in self.waiting if not one.process.dead]
        self.settle()
        self._notice(node.incarnation)

    def _evict(self, node: SmallNode) -> None:
        node.evicted = True
        self._notice(node.incarnation)

    def _notice(self, incarnation: int) -> None:
        """Let a living node end that incarnation and release its work; each of its calls is a step, too."""
        row = self.truth.nodes[incarnation]
        drive(FakeNodes(self.truth).end(NodeBeat(incarnation, row.node, row.heartbeat)))
        watcher = next((one for one in self.small if one.runs and not one.evicted), None)
        if watcher is not None:
            self.loop.in_process(watcher.process, self._release(watcher, incarnation), name="notice")
            self.settle()

    async def _release(self, watcher: SmallNode, incarnation: int) -> None:
        assert watcher.node is not None
        detector = watcher.node._make_failure_detector()
        spawn = lambda work, name: asyncio.create_task(work, name=name)  # noqa: E731
        detector.ctx = SimpleNamespace(name="failure_detector", spawn=spawn)  # type: ignore[assignment]
        detector._tickers_to_undo.append(incarnation)
        _, never = detector._released
        while detector._released[1] == never:
            with suppress(Unavailable):
                await detector.run_leased()
                assert detector._freeing is not None
                await detector._freeing

    def _flush(self) -> None:
        self.memory.flush()
        self.settle()

    def _purge(self) -> None:
        self.swallowed.update(message for bundle in self.broker.ready for message in decode(bundle.body))
        self.broker.purge()
        self.settle()

    # --- the rules of each step --------------------------------------------------------------------------------------

    def _check(self, step: Step) -> None:
        """The next fact is there before the last one is released."""
        messages = self.truth.messages
        if step.name == "finish":
            there = {message for body in self._bundles() for message in decode(body)} | self.swallowed
            for entry in step.args[0]:
                for message in decode(entry.body):
                    lost = messages[message].status is Status.QUEUED and message not in there
                    if lost and not self._is_of_a_later_claim(message, int(entry.id)):
                        self.report(f"the entry of {message} is finished, and no bundle has it")
        if step.name == "acknowledge":
            bundles = [message for body in self._bundles() for message in decode(body)]
            for message in step.args[0].ids:
                row = messages[message]
                own = row.status is Status.SENDING and row.claimed_by == step.node.incarnation
                if own and bundles.count(message) == 1:  # no other bundle will repeat it
                    self.report(f"the bundle of {message} is acknowledged, and its outcome is not recorded")

    def _is_of_a_later_claim(self, message: UUID, entry: int) -> bool:
        """True if the message was taken back and claimed again since the claim of this entry: another entry has it."""
        return self._claim_of.get(message, 0) > self._claim_of_entry.get(entry, 0)

    def _note(self, step: Step, result: Any) -> None:
        """Number the claims of the tickers, and note of which of them each entry is."""
        if step.name == "claim_due" and result.queued:
            self._claims += 1
            self._last_claim[step.node.name] = self._claims
            self._claim_of.update(dict.fromkeys(result.queued, self._claims))
        if step.name == "append":
            entries = self.memory.streams[DUE].entries
            for number in sorted(entries)[-len(step.args[0]) :]:
                self._claim_of_entry[number] = self._last_claim.get(step.node.name, 0)

    def _check_token(self, step: Step, result: Any) -> None:
        if step.name == "claim_due" and result is not None and result.queued:
            token = self.truth.fencing_tokens["ticker"]
            if token < self._highest_token:
                self.report(f"a ticker with token {token} claimed after one with {self._highest_token}")
            self._highest_token = max(token, self._highest_token)

    def _bundles(self) -> Iterator[bytes]:
        yield from (bundle.body for bundle in self.broker.ready)
        for node in self.small:
            for consumer in node.queue._connected if node.queue is not None else ():
                yield from (bundle.body for bundle in consumer.unacknowledged.values())

    # --- states ------------------------------------------------------------------------------------------------------

    def state(self) -> bytes:
        """A digest of all that the future depends on: what the servers hold, and each node."""
        truth, memory, broker, post = self.truth, self.memory, self.broker, self.post
        inner = InnerState(self)
        inner.read([list(truth.messages.values()), list(truth.attempts.values()), truth.fencing_tokens])
        inner.read([truth.taken_back, [row.ended for row in truth.nodes.values()]])
        inner.read([memory.streams, memory.locks, memory.fences, memory.next_call, memory.rates])
        inner.read([list(ids) for ids, _ in memory.accepted.values()])  # they expire after days
        inner.read([[(bundle.body, bundle.returns) for bundle in broker.ready], broker.exists, broker.dead])
        inner.read([post.accepted, {message: len(calls) for message, calls in post.called.items()}])
        inner.read([self.swallowed, self._highest_token, self._later_claims()])
        for node in self.small:
            inner.read([node.process.dead, node.evicted, node.incarnation])
            if node.runs:
                steps = [step for step in self.waiting if step.process is node.process]
                inner.read([node.process, node.node, node.queue, sorted(steps, key=lambda step: step.name)])
        inner.read([timer for timer in self.loop._scheduled if not timer._context[INSIDE].dead])
        inner.read(list(broker.consumers))  # in the order in which they get the next bundles
        return hashlib.blake2b(repr(inner.values).encode(), digest_size=16).digest()

    def _later_claims(self) -> list[list[bool]]:
        """Tell of each entry, and of each node's last claim, whether its messages were claimed again."""
        due = self.memory.streams.get(DUE)
        entries = due.entries.items() if due is not None else ()
        return [
            *([self._is_of_a_later_claim(message, number) for message in decode(one.body)] for number, one in entries),
            *([at > self._last_claim.get(node.name, 0) for at in self._claim_of.values()] for node in self.small),
        ]

    def outcome(self) -> str:
        """Return what the rows, the attempts and the acceptances say, without their instants, to compare two walks."""
        rows = [(row.id, row.status, row.attempt, row.status_reason) for row in self.truth.messages.values()]
        attempts = [(row.message_id, row.number, row.outcome, row.error) for row in self.truth.attempts.values()]
        return repr((rows, sorted(attempts), sorted(self.post.accepted.items())))

    # --- the end -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Without further faults, everything settles: evicted nodes end, dead ones are started, recovery works."""
        for node in self.small:
            if node.evicted:
                node.kill()
        dead = [node.incarnation for node in self.small if not node.runs]
        for node in self.small:
            node.start()
        self.settle()
        for incarnation in dead:
            self._notice(incarnation)
        until = self.loop.time() + SETTLES_WITHIN
        self._recover()
        while not self.ended and not self.violations and self.loop.time() < until:
            self._serve_or_wait()
        for row in self.truth.messages.values():
            if row.status is not Status.SENT:
                self.report(f"{row.id} is {row.status} at the end: {row.status_reason}")
        # Deliveries that are still on their way change nothing any more.
        while not self.violations and (step := next(iter(self.possible), None)) is not None:
            self._serve(step, Fate.DONE)
        self.auditor.look(watched_since=self.loop.time())
        self.auditor.at_the_end()

    def _recover(self) -> None:
        """Do a pass of recovery as after an emptied store: all that is queued goes back."""
        node = self.small[0]

        async def recover() -> None:
            assert node.node is not None
            recovery = node.node._make_recovery()
            recovery.ctx = SimpleNamespace(name="recovery")  # type: ignore[assignment]
            recovery._store_emptied = True
            await recovery._pass()

        done = self.loop.in_process(node.process, recover(), name="recovery")
        while not done.done() and not self.violations:
            self._serve_or_wait()

    def _serve_or_wait(self) -> None:
        if steps := self.possible:
            self._serve(steps[0], Fate.DONE)
        else:
            self.pass_time()

    def close(self) -> None:
        """Drop what is left."""
        self.over = True
        self.loop.dead_letter()
        self.loop.close()


def drive(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a call of a fake, which waits for nothing, and return its result."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a call of a fake has waited")


def _turn(timer: Any) -> tuple[float, str, str]:
    """Return when a timer is due, the process, and the actor if it is a message to one."""
    owner = getattr(timer._callback, "__self__", None)
    process = timer._context.get(INSIDE)
    actor = owner.cell.name if isinstance(owner, ActorInstance) else type(owner).__name__
    return timer._when, process.name if process is not None else "", actor


@cache
def _metrics() -> Metrics:
    return Metrics()


def cache_of(reads: Callable[[dict[str, str]], Settings]) -> Callable[[dict[str, str]], Settings]:
    """Return `reads` with a memory of what it returned."""
    known: dict[str, Settings] = {}

    def cached(environment: dict[str, str]) -> Settings:
        key = repr(sorted(environment.items()))
        if key not in known:
            known[key] = reads(environment)
        return known[key]

    return cached


def _number(_bits: int) -> int:
    """Return a number that no other call returns, and that depends on the process and its earlier calls alone."""
    process = INSIDE.get()
    assert process is not None
    process.drawn += 1
    return int.from_bytes(f"{process.name} {process.drawn}".encode())


def quick(patch: pytest.MonkeyPatch, *, apart: bool) -> None:
    """Make once what is the same in all runs, and let no chance decide: else equal states would look different.

    `apart`: each message has a claim, an entry and a bundle of its own.
    """
    patch.setattr(random, "random", lambda: 0.5)  # jitter
    patch.setattr(secrets, "randbits", _number)  # tokens of claims
    patch.setattr(node_module, "Metrics", lambda _name="": _metrics())
    patch.setattr(node_module, "version", lambda _name: "")
    patch.setattr(node_health, "version", lambda _name: "")
    patch.setattr(world_module, "read", cache_of(read))
    if apart:
        patch.setattr(ticker, "FIRST_CLAIM", 1)
        patch.setattr(ticker, "LARGEST_CLAIM", 1)
