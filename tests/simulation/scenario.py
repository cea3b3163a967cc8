"""One seed: a world, a phase of faults drawn from it, and a quiet phase in which everything has to settle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from service.api.occasion_cache import desired_for_profile, moved
from service.domain.calendar import LeapDay, Weekend
from service.domain.dates import MonthDay, OccasionDate
from service.domain.limits import LimitName
from service.domain.messages import OPEN, REDRIVABLE, Status
from service.domain.planning import CalendarDefaults
from service.domain.suppressions import NewSuppression, SuppressionReason
from service.domain.texts import Text
from service.domain.users import Profile, User, email_key
from service.ports import EmailTaken, RowRefused, Unavailable
from tests.edits import edited
from tests.fakes.rows import UserRow
from tests.principals import OPERATOR
from tests.simulation import visited
from tests.simulation.loop import BEGIN, VirtualLoop, inside
from tests.simulation.network import FATES, Broken, Bug, Weather
from tests.simulation.post import ACCEPTS_NOBODY, Mood
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

_LOADED = tuple(map(ZoneInfo, ZONES))
"""The same zones, loaded once and kept: `ZoneInfo` itself remembers only eight, and reads the files of others again."""

DRIFTS = (0.0, 0.0, 0.0005, -0.0005, 0.03, -0.03)
"""Of the clocks of a node: what a bad quartz does, and far more."""

Event = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Verdict:
    """The result of a seed; `trace` has every event if it was asked for."""

    seed: int
    violations: tuple[str, ...]
    trace: tuple[str, ...]
    seconds: float
    accepted: int
    states: dict[str, int]
    visited: dict[str, int]
    """How often each thing of `visited` was visited."""


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
                "DRAIN_WITHIN": rng.choice(("10s", "20s")),
                "EMAIL_FALLBACK_URL": rng.choice(("", "http://127.0.0.1:10")),
                "ONLY_TO": rng.choice(("", "", "", "@a.test")),
            },
            tell=self.tell,
        )
        self.lasts = rng.choice((20.0, 45.0, 90.0))
        self._addresses = 0

    def tell(self, event: str, /, **fields: object) -> None:
        """Remember what happened."""
        if event in FATES:
            self.world.auditor.visited[visited.fate(event)] += 1
        if self.keep_trace:
            told = " ".join(f"{name}={value}" for name, value in fields.items())
            now = self.world.now().strftime("%d %H:%M:%S.%f")[:-3] if hasattr(self, "world") else ""
            self.trace.append(f"{self.loop.time() - BEGIN:9.3f} [{now}] {inside():9} {event} {told}")

    def recovered(self, moved: Mapping[str, Any]) -> None:
        """Count the steps of a pass of recovery that moved something."""
        for step in visited.RECOVERY_STEPS:
            self.world.auditor.visited[visited.recovery(step)] += bool(moved.get(step))

    # --- the story -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live through it. What is broken is in `world.violations`."""
        world, rng = self.world, self.rng
        for _ in range(rng.randint(3, 16)):
            self._old_user()
        world.nodes += [SimulatedNode(world, f"node-{number}") for number in range(1, rng.choice((1, 2, 2, 3)) + 1)]
        clocks = Random(f"clocks of {self.seed}")  # beside the story, which stays the same
        for node in world.nodes:
            node.drift = clocks.choice(DRIFTS)
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
            healthy = [node for node in world.nodes if node.runs and node.holds_lease]
            watchers = {node.believes: watchers.get(node.believes, now) for node in healthy if node.believes}
            since = min(watchers.values(), default=now)
            world.auditor.look(watched_since=max(since, world.servers["postgres"].blinded_at))

    async def _story(self) -> None:
        rng = self.rng
        await asyncio.sleep(rng.choice((0.0, 3.0)))
        self._weather()
        for post in self.world.posts:
            post.mood = rng.choice((Mood.WELL, Mood.WELL, *Mood))
            post.takes = rng.choice((0.05, 0.5, 2.0))
        if self.only:
            kinds = [kind for kind in self._kinds() if kind.__name__.strip("_") in self.only]
            at = sorted(rng.uniform(5.0, 20.0) for _ in range(8))
        else:
            kinds = [kind for kind in self._kinds() if rng.random() < 0.35]
            at = sorted(self._when() for _ in range(rng.randint(0, 16) if kinds else 0))
        begin = self.loop.time()
        for when in at:
            await asyncio.sleep(max(0.0, begin + when - self.loop.time()))
            happens = rng.choice(kinds)
            self.world.auditor.visited[visited.fault(happens.__name__.strip("_"))] += 1
            await happens()
        await asyncio.sleep(max(0.0, begin + self.lasts - self.loop.time()))
        await self._quiet()

    def _when(self) -> float:
        """Draw an instant: any time, or while the first greetings are on their way."""
        return self.rng.random() * self.lasts if self.rng.random() < 0.5 else self.rng.uniform(5.0, 20.0)

    async def _quiet(self) -> None:
        world = self.world
        self.tell("quiet")
        world.forget_faults()
        for post in world.posts:
            post.mood = Mood.WELL
        await self._release(list(world.truth.holds))
        for name in LimitName:
            await self._user_does(f"remove {name}", partial(world.limits.change, {name: None}, by=OPERATOR))
        for node in world.nodes:
            node.thaw()
            node.start()
        # A damaged row stops no other, and a half-broken node stops no other node. A repaired row is looked at again.
        if await self._settles(SETTLES_WITHIN):
            put_off = world.auditor.set_aside_for()
            world.truth.damaged.clear()
            world.broken_links.clear()
            if await self._settles(put_off + SETTLES_WITHIN):
                world.auditor.at_the_end()

    async def _settles(self, within: float) -> bool:
        world, until = self.world, self.loop.time() + within
        while left := world.auditor.unsettled():
            if self.loop.time() > until:
                for what in left:
                    world.report(f"not settled {within:g} s after the last fault: {what}")
                return False
            await asyncio.sleep(1.0)
            self._start_again()
            # A request to hold that got no answer may be served after the faults.
            if late := [hold.id for hold in world.truth.active_holds()]:
                await self._release(late)
        return True

    def _start_again(self) -> None:
        for node in self.world.nodes:
            if node.wanted:
                node.start()  # as an operator does when it has ended by itself

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
            self._pause,
            self._replace,
            self._jump_ahead,
            self._jump_back,
            self._flush,
            self._purge,
            self._delete_queue,
            self._cut_broker,
            self._swallow,
            self._break_link,
            self._outage,
            self._mood,
            self._long_outage,
            self._create,
            self._edit,
            self._edit,
            self._delete,
            self._redrive,
            self._change_rules,
            self._hold,
            self._hold,
            self._change_limits,
            self._change_limits,
            self._change_occasion,
            self._suppress,
            self._damage,
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

    async def _pause(self) -> None:
        node = self._node()
        node.pause()
        self._later(self.rng.choice((1.0, 7.0, 9.0, 14.0, 40.0)), node.thaw)

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

    async def _swallow(self) -> None:
        """Let the broker confirm what is published and lose it, for a while or until the faults are over."""
        lasts = self.rng.choice((1.0, 10.0, 100.0, None))
        self.tell("the broker swallows", lasts=lasts)
        self.world.broker.swallows = True
        if lasts is not None:
            self._later(lasts, lambda: setattr(self.world.broker, "swallows", False))

    async def _break_link(self) -> None:
        """Break the way of one node to one server, for a while or until all else has settled without that node."""
        node, links = self.world.nodes[-1], self.world.broken_links
        if node is self.world.nodes[0]:
            return  # there is no other
        link = (node.name, self.rng.choice(list(self.world.servers)))
        links[link], lasts = self.rng.choice(list(Broken)), self.rng.choice((4.0, 20.0, None))
        self.tell("broken link", node=node.name, server=link[1], how=links[link], lasts=lasts)
        if lasts is not None:
            self._later(lasts, lambda: links.pop(link, None))

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
        post = self.rng.choice(self.world.posts)
        if not post.mood_stays:
            post.mood = self.rng.choice(list(Mood))
        self.tell("mood", of=post.mood, fallback=post is self.world.fallback)

    async def _long_outage(self) -> None:
        """An email service accepts no message until the faults are over: longer than all attempts last."""
        post = self.rng.choice(self.world.posts)
        post.mood = self.rng.choice(ACCEPTS_NOBODY)
        post.mood_stays = True
        self.tell("mood until the end", of=post.mood, fallback=post is self.world.fallback)

    async def _create(self) -> None:
        async def create() -> None:
            profile = self._profile()
            desired = desired_for_profile(self.world.rules(), profile, self.world.now())
            await self.world.users.create(profile, desired)

        await self._user_does("create", create)

    async def _edit(self) -> None:
        user_id = self._any_user()
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
            rules = self.world.rules()
            await edited(
                self.world.users, user_id, edit, lambda *both_and_now: moved(rules, *both_and_now), version=None
            )

        await self._user_does(f"edit {user_id}", change)

    async def _delete(self) -> None:
        user_id = self._any_user()
        if user_id is None:
            return

        async def delete() -> None:
            erase = self.rng.random() < 0.5
            await self.world.users.delete(user_id, version=None, by=OPERATOR, erase=erase)

        await self._user_does(f"delete {user_id}", delete)

    async def _change_rules(self) -> None:
        """Give the nodes that start from now on another hour or leap-day rule, and restart one of them."""
        hour, leap_day = self.rng.choice((7, 8, 9, 10)), self.rng.choice(list(LeapDay))
        self.world.defaults = CalendarDefaults(time(hour), leap_day)
        self.tell("rules", defaults=str(self.world.defaults))
        await self._replace()

    async def _change_limits(self) -> None:
        """Set or remove the rate or the concurrency of calls, in the midst of a wave, or while nodes cannot read it."""
        name = self.rng.choice((LimitName.EMAIL_RATE, LimitName.EMAIL_CONCURRENCY))
        value = self.rng.choice((None, "1", "3", "20", "off" if name is LimitName.EMAIL_RATE else "100"))

        async def change() -> None:
            await self.world.limits.change({name: value}, by=OPERATOR)
            self.tell("limit", name=name, value=value)

        await self._user_does(f"limit {name} to {value}", change)

    async def _hold(self) -> None:
        """Hold everything or an occasion, and release it some time later, unless it ends by itself."""
        occasion = self.rng.choice((None, None, "birthday", "anniversary"))
        lasts = self.rng.choice((None, None, timedelta(seconds=3), timedelta(minutes=20)))

        async def hold() -> None:
            made = await self.world.holds.create(occasion=occasion, reason="a test", by=OPERATOR, lasts=lasts)
            self.tell("held", hold=made)
            seconds = self.rng.choice((0.2, 1.0, 3.0, 10.0, 60.0))
            self._later(seconds, lambda: self.loop.in_process(None, self._release([made.id]), name="release"))

        await self._user_does(f"hold {occasion} for {lasts}", hold)

    async def _release(self, ids: Sequence[UUID]) -> None:
        async def release() -> None:
            await self.world.holds.release(ids, by=OPERATOR)

        await self._user_does(f"release {ids}", release)

    async def _change_occasion(self) -> None:
        """Change a text, a rule of an occasion, or whether it is active."""
        truth, rng = self.world.truth, self.rng
        before = truth.occasions["birthday"].occasion
        changed = rng.choice(
            [
                replace(before, default=Text("Hi", f"Hey, {{full_name}} {rng.randint(1, 9)}")),
                replace(before, weekend=rng.choice(list(Weekend))),
                replace(before, offset_days=rng.choice((-1, 0, 0, 1))),
                replace(before, send_at=rng.choice((None, time(8), time(10)))),
                replace(before, active=not before.active),
            ]
        )
        self.tell("occasion", changed=changed)
        truth.put_occasion(changed)

    async def _suppress(self) -> None:
        """Suppress the address of a user, and perhaps allow it again some time later."""
        user_id = self._any_user()
        if user_id is None:
            return
        email = self.world.truth.users[user_id].profile.email
        given = NewSuppression(email, self.rng.choice(list(SuppressionReason)), "a test")
        lasts = self.rng.choice((None, 1.0, 15.0))

        async def suppress() -> None:
            (added,) = await self.world.suppressions.add([given], by=OPERATOR)
            if lasts is not None:
                one = added.suppression.id
                self._later(lasts, lambda: self.loop.in_process(None, self._allow(one), name="allow"))

        await self._user_does(f"suppress {email} for {lasts}", suppress)

    async def _allow(self, suppression: UUID) -> None:
        async def allow() -> None:
            await self.world.suppressions.remove(suppression, by=OPERATOR)

        await self._user_does(f"allow {suppression}", allow)

    async def _damage(self) -> None:
        """Let no statement change one message, mostly one that is on its way, for a while or until the end."""
        truth = self.world.truth
        ids = [row.id for row in truth.in_state(*OPEN)] or sorted(truth.messages)
        if not ids:
            return
        damaged, lasts = self.rng.choice(ids), self.rng.choice((0.5, 5.0, 40.0, None))
        self.tell("damaged", id=damaged, lasts=lasts)
        truth.damaged.add(damaged)
        if lasts is not None:
            self._later(lasts, lambda: truth.damaged.discard(damaged))

    async def _redrive(self) -> None:
        ids = [row.id for row in self.world.truth.in_state(*sorted(REDRIVABLE))]
        living = [one for one in ids if self.world.truth.user(self.world.truth.messages[one].user_id)]

        async def redrive() -> None:
            await self.world.operator.redrive(living, by=OPERATOR)

        await self._user_does("redrive", redrive)

    async def _user_does(self, what: str, work: Event) -> None:
        self.tell(what)
        try:
            await work()
        except (Unavailable, EmailTaken, RowRefused, Bug) as error:
            self.tell("user is told", error=error)

    # --- who lives there -----------------------------------------------------------------------------------------

    def _old_user(self) -> None:
        """Add a user who was created a month ago."""
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
            zone = rng.choice([one.key for one in _LOADED if now.astimezone(one).hour == 8] or [zone])
        day = now.astimezone(ZoneInfo(zone)).date() + timedelta(days=rng.choice((-1, 0, 0, 0, 0, 0, 0, 1)))
        if day.month == 2 and rng.random() < 0.3:
            day = date(2028, 2, 29)
        dates: dict[str, OccasionDate] = {"birthday": day.replace(year=1992)}
        if day.month == 2 and rng.random() < 0.1:
            dates["birthday"] = MonthDay(day.month, day.day)
        if rng.random() < 0.2:
            dates["anniversary"] = day.replace(year=2004)
        email = f"{self._addresses}@{'b' if rng.random() < 0.2 else 'a'}.test"
        return Profile("Ada", f"No {self._addresses}", email, zone, dates)

    def _any_user(self) -> UUID | None:
        living = [row.id for row in self.world.truth.users.values() if row.deleted_at is None]
        return self.rng.choice(living) if living else None


def simulate(seed: int, *, keep_trace: bool = False, only: Sequence[str] = ()) -> Verdict:
    """Run one seed, in a loop of its own. `only`: the kinds of events that there are, close together."""
    loop = VirtualLoop()
    with _alone(seed, lambda: scenario):
        scenario = Scenario(seed, loop, keep_trace=keep_trace, only=only)
        try:
            loop.run_until_complete(loop.create_task(scenario.run(), name="simulation"))
        finally:
            seconds = loop.time() - BEGIN
            scenario.world.over = True
            loop.dead_letter()
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
        dict(world.auditor.visited)
        | {visited.mood(mood): world.post.moods[mood] + world.fallback.moods[mood] for mood in Mood},
    )


def kinds_of_events() -> tuple[str, ...]:
    """The names of the kinds of events that a story may have."""
    loop = VirtualLoop()
    try:
        return tuple(kind.__name__.strip("_") for kind in Scenario(0, loop, keep_trace=False)._kinds())
    finally:
        loop.close()


@contextmanager
def _alone(seed: int, scenario: Callable[[], Scenario]) -> Iterator[None]:
    """Draw the jitter of the product from the seed too, and send its log lines into the trace, or nowhere."""
    jitter, logging = random.getstate(), structlog.get_config()

    def line(_logger: object, level: str, event: Any) -> Any:
        if event.get("event") == "recovered":
            scenario().recovered(event)
        if scenario().keep_trace:
            scenario().tell("log", level=level, **{k: v for k, v in event.items() if k != "exc_info"})
        raise structlog.DropEvent

    random.seed(seed)
    structlog.configure(processors=[line], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        random.setstate(jitter)
        structlog.configure(**logging)
