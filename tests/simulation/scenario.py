"""One seed: a world, a phase of faults drawn from it, and a quiet phase in which everything has to settle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from actors.api.calendar_rules import all_wanted, moved
from service.domain.messages import REDRIVABLE, Status
from service.domain.users import Profile, User, email_key
from service.ports import EmailTaken, Unavailable
from tests.fakes.rows import UserRow
from tests.simulation.loop import BEGIN, VirtualLoop, inside
from tests.simulation.network import Bug, Weather
from tests.simulation.post import Mood
from tests.simulation.world import SimulatedNode, World

SETTLES_WITHIN = 420.0
"""Seconds after the last fault in which every due message has come to its end: the slowest way back is that of a claim
whose answer was lost (see recovery.Recovery), with the retries that may follow."""

BEGINS = (
    datetime(2027, 3, 14, 11, 59, 50, tzinfo=UTC),
    datetime(2027, 3, 14, 11, 59, 50, tzinfo=UTC),
    datetime(2027, 12, 31, 22, 59, 45, tzinfo=UTC),
    datetime(2027, 2, 28, 11, 59, 50, tzinfo=UTC),
    datetime(2028, 2, 29, 8, 59, 55, tzinfo=UTC),
    datetime(2027, 10, 31, 0, 59, 50, tzinfo=UTC),
)
"""Instants shortly before it is 09:00 somewhere: ordinary days, a change of year, leap days, a change of clocks."""

ZONES = (
    "UTC",
    "America/Sao_Paulo",
    "America/New_York",
    "America/Halifax",
    "America/St_Johns",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Pacific/Auckland",
    "Pacific/Apia",
    "Pacific/Honolulu",
    *(f"Etc/GMT{hours:+d}" for hours in range(-14, 13)),
)

Event = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Verdict:
    """How a seed ended; `trace` has every event when it was asked for."""

    seed: int
    violations: tuple[str, ...]
    trace: tuple[str, ...]
    seconds: float
    accepted: int
    states: dict[str, int]


class Scenario:
    """Draws everything from its seed, so that the same seed is the same story."""

    def __init__(self, seed: int, loop: VirtualLoop, *, keep_trace: bool, only: Sequence[str] = ()) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.loop = loop
        self.keep_trace = keep_trace
        self.only = only
        self.trace: list[str] = []
        rng = self.rng
        self.world = World(
            loop,
            rng,
            begin=rng.choice(BEGINS),
            rate=rng.choice((1.0, 1.0, 1.0, 30.0, 120.0)),
            settings={
                "EMAIL_TIMEOUT": rng.choice(("1s", "5s", "10s")),
                "EMAIL_BACKOFF": rng.choice(("50ms", "1s")),
                "EMAIL_BACKOFF_LIMIT": rng.choice(("500ms", "5s")),
                "EMAIL_ATTEMPTS": rng.choice(("3", "8", "30")),
                "EMAIL_CONCURRENCY": rng.choice(("2", "8", "100")),
                "EMAIL_RATE": rng.choice(("", "", "5")),
                "DELIVERY_ACTORS": rng.choice(("1", "2")),
                "CIRCUIT_FAILURES": rng.choice(("2", "5", "20")),
                "CIRCUIT_RESET": rng.choice(("300ms", "3s", "15s")),
                "UNKNOWN_OUTCOME": rng.choice(("resend", "resend", "hold")),
                "LATE_LIMIT": rng.choice(("48h", "48h", "10m")),
                "DRAIN_WITHIN": rng.choice(("2s", "10s")),
            },
            tell=self.tell,
        )
        self.lasts = rng.choice((20.0, 45.0, 90.0))
        self._addresses = 0

    def tell(self, event: str, /, **fields: object) -> None:
        """Remember what happened."""
        if self.keep_trace:
            told = " ".join(f"{name}={value}" for name, value in fields.items())
            now = self.world.now().strftime("%d %H:%M:%S.%f")[:-3] if hasattr(self, "world") else ""
            self.trace.append(f"{self.loop.time() - BEGIN:9.3f} [{now}] {inside():9} {event} {told}")

    # --- the story -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live through it. What is broken is in `world.violations`."""
        world, rng = self.world, self.rng
        for _ in range(rng.randint(3, 16)):
            self._old_user()
        world.nodes += [SimulatedNode(world, f"node-{number}") for number in range(1, rng.choice((1, 2, 2, 3)) + 1)]
        for node in world.nodes:
            node.start()
        story = self.loop.in_process(None, self._story(), name="story")
        broken = self.loop.in_process(None, self._broken(), name="broken")
        looking = self.loop.in_process(None, self._look_on(), name="auditor")
        await asyncio.wait((story, broken), return_when=asyncio.FIRST_COMPLETED)
        for task in (story, broken, looking):
            task.cancel()
        if story.done() and not story.cancelled():
            story.result()

    async def _broken(self) -> None:
        await self.world.broken.wait()

    async def _look_on(self) -> None:
        world = self.world
        watchers: dict[int, float] = {}
        while True:
            await asyncio.sleep(1.0)
            now = self.loop.time()
            healthy = [node for node in world.nodes if node.runs and node.node is not None and node.node.lease.held]
            watchers = {node.believes: watchers.get(node.believes, now) for node in healthy if node.believes}
            since = min(watchers.values(), default=now)
            world.auditor.look(watched_since=max(since, world.servers["postgres"].blinded_at))

    async def _story(self) -> None:
        rng = self.rng
        await asyncio.sleep(rng.choice((0.0, 3.0)))
        self._weather()
        self.world.post.mood = rng.choice((Mood.WELL, Mood.WELL, *Mood))
        self.world.post.takes = rng.choice((0.05, 0.5, 2.0))
        if self.only:
            kinds = [kind for kind in self._kinds() if kind.__name__.strip("_") in self.only]
            at = sorted(rng.uniform(5.0, 20.0) for _ in range(8))
        else:
            kinds = [kind for kind in self._kinds() if rng.random() < 0.35]
            at = sorted(self._when() for _ in range(rng.randint(0, 16) if kinds else 0))
        begin = self.loop.time()
        for when in at:
            await asyncio.sleep(max(0.0, begin + when - self.loop.time()))
            await rng.choice(kinds)()
        await asyncio.sleep(max(0.0, begin + self.lasts - self.loop.time()))
        await self._quiet()

    def _when(self) -> float:
        """When something happens: at any time, or while the first greetings are on their way."""
        return self.rng.random() * self.lasts if self.rng.random() < 0.5 else self.rng.uniform(5.0, 20.0)

    async def _quiet(self) -> None:
        world = self.world
        self.tell("quiet")
        world.forget_faults()
        world.post.mood = Mood.WELL
        for node in world.nodes:
            node.thaw()
            node.start()
        until = self.loop.time() + SETTLES_WITHIN
        while left := world.auditor.unsettled():
            if self.loop.time() > until:
                for what in left:
                    world.report(f"not settled {SETTLES_WITHIN:g} s after the last fault: {what}")
                return
            await asyncio.sleep(1.0)
            self._start_again()
        world.auditor.at_the_end()

    def _start_again(self) -> None:
        for node in self.world.nodes:
            if node.wanted:
                node.start()  # as whoever looks after it does when it has ended by itself

    # --- what may happen -----------------------------------------------------------------------------------------

    def _weather(self) -> None:
        """Over each server, for the whole phase of faults."""
        rng = self.rng
        for server in self.world.servers.values():
            kind = rng.choice(("fair", "fair", "slow", "rough", "stormy"))
            often = {"fair": 0.0, "slow": 0.0, "rough": 0.02, "stormy": 0.1}[kind]

            def chance(often: float = often) -> float:
                return rng.random() * often

            server.weather = Weather(
                longest=rng.choice((0.002, 0.05)) if kind == "fair" else rng.choice((0.05, 0.5, 2.0)),
                late=chance(),
                before=chance(),
                after=chance(),
                hang=chance(),
                bug=rng.choice((0.0, 0.0, 0.0, 0.003)) if kind != "fair" else 0.0,
            )
            self.tell("weather", server=server.name, kind=kind)

    def _kinds(self) -> tuple[Event, ...]:
        return (
            self._kill,
            self._kill_all,
            self._freeze,
            self._replace,
            self._jump_ahead,
            self._jump_back,
            self._flush,
            self._purge,
            self._delete_queue,
            self._cut_broker,
            self._outage,
            self._mood,
            self._create,
            self._edit,
            self._edit,
            self._delete,
            self._redrive,
        )

    def _node(self) -> SimulatedNode:
        return self.rng.choice(self.world.nodes)

    def _later(self, seconds: float, what: Callable[[], object]) -> None:
        self.loop.call_later(seconds, what)

    async def _kill(self) -> None:
        node = self._node()
        node.kill()
        self._later(self.rng.choice((0.1, 1.0, 12.0, 30.0)), node.start)

    async def _kill_all(self) -> None:
        for node in self.world.nodes:
            node.kill()
            self._later(self.rng.choice((0.1, 5.0)), node.start)

    async def _freeze(self) -> None:
        node = self._node()
        node.freeze()
        self._later(self.rng.choice((1.0, 7.0, 9.0, 14.0, 20.0, 40.0)), node.thaw)

    async def _replace(self) -> None:
        node = self._node()
        node.drain()
        self._later(20.0, node.start)

    async def _jump_ahead(self) -> None:
        by = timedelta(minutes=self.rng.choice((1, 15, 60, 180, 1500, 4000)))
        self.tell("clock", ahead=by)
        self.world.jump(by)

    async def _jump_back(self) -> None:
        by = timedelta(seconds=self.rng.choice((5, 30, 600, 3600, 86_400)))
        self.tell("clock", back=by)
        self.world.jump(-by)

    async def _flush(self) -> None:
        self.tell("flush")
        self.world.memory.flush()

    async def _purge(self) -> None:
        self.tell("purge")
        self.world.broker.purge()

    async def _delete_queue(self) -> None:
        self.tell("delete the queue")
        self.world.broker.delete()

    async def _cut_broker(self) -> None:
        self.tell("restart the broker")
        self.world.broker.restart()

    async def _outage(self) -> None:
        server = self.rng.choice(list(self.world.servers.values()))
        self.tell("down", server=server.name)
        server.down = True
        if server.name == "rabbitmq":
            self.world.broker.restart()

        def back() -> None:
            server.down = False
            self.tell("back", server=server.name)

        self._later(self.rng.choice((0.5, 4.0, 11.0, 30.0)), back)

    async def _mood(self) -> None:
        self.world.post.mood = self.rng.choice(list(Mood))
        self.tell("mood", of=self.world.post.mood)

    async def _create(self) -> None:
        rules = self.world.rules

        async def create() -> None:
            profile = self._profile()
            await self.world.users.create(profile, all_wanted(rules, profile, self.world.now()))

        await self._user_does("create", create)

    async def _edit(self) -> None:
        user_id, rules = self._somebody(), self.world.rules
        if user_id is None:
            return

        def edit(user: User) -> Profile:
            fresh = self._profile()
            return Profile(
                fresh.first_name,
                user.profile.last_name,
                user.profile.email,
                self.rng.choice((user.profile.timezone, fresh.timezone)),
                self.rng.choice((user.profile.dates, fresh.dates)),
            )

        async def change() -> None:
            await self.world.users.change(
                user_id, edit, lambda *both_and_now: moved(rules, *both_and_now), version=None
            )

        await self._user_does(f"edit {user_id}", change)

    async def _delete(self) -> None:
        user_id = self._somebody()
        if user_id is None:
            return

        async def delete() -> None:
            await self.world.users.delete(user_id, version=None, erase=self.rng.random() < 0.5)

        await self._user_does(f"delete {user_id}", delete)

    async def _redrive(self) -> None:
        ids = [row.id for row in self.world.truth.in_state(*sorted(REDRIVABLE))]
        living = [one for one in ids if self.world.truth.user(self.world.truth.messages[one].user_id)]

        async def redrive() -> None:
            await self.world.operator.redrive(living)

        await self._user_does("redrive", redrive)

    async def _user_does(self, what: str, work: Event) -> None:
        self.tell(what)
        try:
            await work()
        except (Unavailable, EmailTaken, Bug) as error:
            self.tell("user is told", error=error)

    # --- who lives there -----------------------------------------------------------------------------------------

    def _old_user(self) -> None:
        """Somebody who has been there for a month."""
        profile, truth = self._profile(), self.world.truth
        then = self.world.now() - timedelta(days=30)
        truth.put_user(
            UserRow(
                id=truth.new_user_id(),
                profile=profile,
                email_key=email_key(profile.email),
                version=1,
                created_at=then,
                updated_at=then,
            )
        )

    def _profile(self) -> Profile:
        rng, now = self.rng, self.world.now()
        self._addresses += 1
        zone = rng.choice(ZONES)
        if rng.random() < 0.7:
            # Where it is shortly before 09:00: most days shall be about to begin.
            zone = rng.choice([one for one in ZONES if now.astimezone(ZoneInfo(one)).hour == 8] or [zone])
        day = now.astimezone(ZoneInfo(zone)).date() + timedelta(days=rng.choice((-1, 0, 0, 0, 0, 0, 0, 1)))
        if day.month == 2 and rng.random() < 0.3:
            day = date(2028, 2, 29)
        dates = {"birthday": day.replace(year=1992)}
        if rng.random() < 0.2:
            dates["anniversary"] = day.replace(year=2004)
        return Profile("Ada", f"No {self._addresses}", f"{self._addresses}@a.test", zone, dates)

    def _somebody(self) -> UUID | None:
        living = [row.id for row in self.world.truth.users.values() if row.deleted_at is None]
        return self.rng.choice(living) if living else None


def simulate(seed: int, *, keep_trace: bool = False, only: Sequence[str] = ()) -> Verdict:
    """Run one seed, in a loop of its own. `only`: the kinds of events that there are, close together."""
    loop = VirtualLoop()
    with _alone(seed, None if not keep_trace else (lambda: scenario)):
        scenario = Scenario(seed, loop, keep_trace=keep_trace, only=only)
        try:
            loop.run_until_complete(loop.create_task(scenario.run(), name="simulation"))
        finally:
            seconds = loop.time() - BEGIN
            scenario.world.over = True
            loop.bury()
            loop.close()
    world = scenario.world
    violations = [*world.violations, *(str(error.get("exception", error["message"])) for error in loop.errors)]
    states = {status.value: 0 for status in Status}
    for row in world.truth.messages.values():
        states[row.status.value] += 1
    return Verdict(
        seed,
        tuple(violations),
        tuple(scenario.trace),
        seconds,
        world.post.accepted.total(),
        {name: count for name, count in states.items() if count},
    )


@contextmanager
def _alone(seed: int, scenario: Callable[[], Scenario] | None) -> Iterator[None]:
    """Draw the jitter of the product from the seed too, and send its log lines into the trace, or nowhere."""
    jitter, logging = random.getstate(), structlog.get_config()

    def line(_logger: object, level: str, event: Any) -> Any:
        if scenario is not None:
            scenario().tell("log", level=level, **{k: v for k, v in event.items() if k != "exc_info"})
        raise structlog.DropEvent

    random.seed(seed)
    structlog.configure(processors=[line], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        random.setstate(jitter)
        structlog.configure(**logging)
