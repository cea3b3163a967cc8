"""One node: the only place that knows every part, and how they hang together.

    node
    ├── membership         beats; says whether this node may act
    ├── delivery           (one that fails takes with it those below)
    │   ├── recorder       writes outcomes, acknowledges deliveries
    │   ├── senders        a pool: claim a bundle, call the email service
    │   └── intake         takes bundles from the delivery queue
    ├── dispatcher         heyday:due -> delivery queue
    ├── planner            announces and plans, heyday:plan
    ├── zone keeper        moves what newer zone data moves
    ├── watchman           ends the nodes that are dead
    ├── recovery           moves what is stuck one hop back
    ├── ticker             claims what is due -> heyday:due
    ├── sampler            gauges
    └── api                HTTP

Started from the top, so that whoever hands on finds the next one there; drained from the bottom, so that nothing new
comes in while what is there is finished.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

from actors.api.parts import ApiParts
from actors.delivery.intake import Intake
from actors.delivery.recorder import Recorder
from actors.delivery.sender import Deliver, Sender
from actors.delivery.wire import Wire
from actors.dispatcher import Dispatcher
from actors.facts import Witness, nobody
from actors.lease import Lease, elapsed
from actors.membership import Membership
from actors.outside import MakeOutside, servers
from actors.planner import PlanAgain, Planner, RunDaily
from actors.recovery import Bury, NodeDied, Recovery, Reseed, RunRecovery
from actors.runtime import (
    Abandoned,
    Actor,
    Address,
    ChildSpec,
    Crashed,
    Escalated,
    Event,
    Pool,
    Restarting,
    StopFailed,
    Strategy,
    Supervisor,
    TaskFailed,
)
from actors.sampler import Sampler
from actors.ticker import RunMinute, Ticker
from actors.watchman import Watchman
from actors.zone_keeper import ZoneKeeper
from service.adapters import stream_queue
from service.adapters.email.circuit import CircuitBreakingEmailService
from service.adapters.rabbitmq.topology import DEAD, DELIVERY
from service.adapters.redis.streams import DUE, PLAN
from service.clock import BusinessClock, Jump
from service.domain.retry import RetryPolicy
from service.domain.zones import TZDATA_VERSION
from service.outages import Outages
from service.ports import CircuitState, Emptied, Unavailable
from service.settings import Settings, UnknownOutcome
from service.telemetry.failures import summary
from service.telemetry.metrics import SERVICE, Metrics
from service.telemetry.tracing import OFF, Tracing

log = structlog.get_logger(__name__)

JOB_WITHIN = 30.0
"""Seconds for a job that somebody triggers by hand."""

CLOCK_MAY_DIFFER = 1.0
"""Seconds by which business time may differ from the database's own clock before it is not the real one."""


class Refused(Exception):
    """This node must not work with that database."""


class Node:
    """Everything that `heyday run` runs, among the servers that `outside` makes ports of.

    `rehearsal` accepts a database whose business clock was moved. `steady` measures durations, `elapsed` those that
    count while the machine is suspended, too; both in seconds. `tracing` stays its owner's.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        witness: Witness = nobody,
        rehearsal: bool = False,
        outside: MakeOutside = servers,
        steady: Callable[[], float] = time.monotonic,
        elapsed: Callable[[], float] = elapsed,
        tracing: Tracing = OFF,
    ) -> None:
        self.settings = settings
        self._tracing = tracing
        self.metrics = Metrics(settings.node_id)
        self.metrics.know(systems=["postgres", "redis", *(["rabbitmq"] if settings.rabbitmq_url else [])])
        self._successes = self.metrics.circuit_successes.labels(SERVICE)
        self._failures = self.metrics.circuit_failures.labels(SERVICE)
        self.clock = BusinessClock(steady)
        self.outages = Outages(steady, on_change=self._server_changed)
        self.lease = Lease(elapsed)
        self._witness = witness
        self._rehearsal = rehearsal
        self._steady = steady
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._living = 1
        self._circuit_since = steady()
        self._outside = outside(settings, self.metrics, lambda: self._living)
        self._outside.on_other_database(self.lease.end)
        self._email = CircuitBreakingEmailService(
            self._outside.attempts,
            failures=settings.circuit_failures,
            reset=settings.circuit_reset,
            on_change=self._circuit_changed,
            on_result=self._call_ended,
        )
        self.tree = self._make_tree()

    # --- its life ----------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> bool:
        """Run until `stop` is set, then drain. True when nothing was abandoned.

        Raises TooManyRestarts when an actor cannot be kept running, Refused when the database is not one to work with.
        """
        await self._outside.open()
        await self._email.open()
        try:
            await self.tree.start()
            log.info("node_started", queue="rabbitmq" if self.settings.rabbitmq_url else "redis stream")
            await self._until(stop)
            report = await self.tree.drain(self.settings.drain_within.total_seconds())
            log.info("node_drained", seconds=round(report.took, 3), abandoned=len(report.abandoned))
            return report.clean
        finally:
            await self._email.close()
            await self._outside.close()

    async def _until(self, stop: asyncio.Event) -> None:
        """Until told to stop, or the tree gives up, or the database turns out to be the wrong one."""
        told, gave_up = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self.tree.wait())
        try:
            await asyncio.wait((told, gave_up, self._refused), return_when=asyncio.FIRST_COMPLETED)
            if self._refused.done():
                await self.tree.drain(self.settings.drain_within.total_seconds())
                self._refused.result()
            if gave_up.done():
                gave_up.result()
        finally:
            told.cancel()
            gave_up.cancel()

    # --- its parts ---------------------------------------------------------------------------------------------

    def _make_tree(self) -> Supervisor:
        settings, outside = self.settings, self._outside
        policy = RetryPolicy(
            attempts=settings.email_attempts,
            base=settings.email_backoff,
            limit=settings.email_backoff_limit,
            hold=settings.unknown_outcome is UnknownOutcome.HOLD,
        )
        # Every part that acts gets these; what is particular to one is below.
        common: dict[str, Any] = {"outages": self.outages, "metrics": self.metrics}
        acting = common | {"lease": self.lease, "witness": self._witness}

        wire = Wire(settings.email_concurrency)
        deliver: Address[Deliver] = Address("senders", capacity=settings.delivery_actors)
        record: Address[Any] = Address("recorder", capacity=2 * settings.email_concurrency)
        self._planner: Address[Any] = Address("planner", capacity=16)
        self._recovery: Address[Any] = Address("recovery", capacity=16)
        self._ticker: Address[Any] = Address("ticker", capacity=16)

        def quiet(name: str) -> Address[Any]:
            """Of an actor to which nobody talks."""
            return Address(name, capacity=1)

        def spec(address: Address[Any], make: Callable[[], Any]) -> ChildSpec[Any]:
            return ChildSpec(address.name, make, address)

        def make_sender(_number: int) -> Sender:
            return Sender(
                outside.messages,
                outside.accepted,
                self._email,
                outside.rate,
                record,
                policy=policy,
                wire=wire,
                tracing=self._tracing,
                **acting,
            )

        def make_recorder() -> Recorder:
            return Recorder(
                outside.messages,
                outside.accepted,
                outside.queue,
                on_failed=lambda: self._tell(self._recovery, Bury()),
                witness=self._witness,
                **common,
            )

        def make_intake() -> Intake:
            return Intake(outside.queue, self._email, deliver, on_emptied=self._emptied, **acting)

        def make_dispatcher() -> Dispatcher:
            return Dispatcher(
                outside.streams[DUE], outside.queue, on_emptied=self._emptied, tracing=self._tracing, **acting
            )

        def make_planner() -> Planner:
            return Planner(
                outside.planning,
                outside.streams[PLAN],
                send_at=settings.send_at,
                leap_day=settings.leap_day,
                cron=settings.daily_cron,
                clock=self.clock,
                on_emptied=self._emptied,
                tracing=self._tracing,
                **acting,
            )

        def make_watchman() -> Watchman:
            return Watchman(
                outside.messages,
                outside.nodes,
                policy=policy,
                lease=self.lease,
                steady=self._steady,
                on_living=self._count_living,
                on_death=lambda: self._tell(self._recovery, NodeDied()),
                **common,
            )

        def make_zone_keeper() -> ZoneKeeper:
            return ZoneKeeper(
                outside.zone_data,
                outside.planning,
                outside.streams[PLAN],
                release=TZDATA_VERSION,
                send_at=settings.send_at,
                leap_day=settings.leap_day,
                lease=self.lease,
                outages=self.outages,
            )

        def make_recovery() -> Recovery:
            return Recovery(
                outside.messages,
                outside.nodes,
                outside.planning,
                outside.streams,
                outside.queue,
                outside.kept_answers,
                self._email,
                policy=policy,
                email_timeout=settings.email_timeout,
                cron=settings.recovery_cron,
                lease=self.lease,
                clock=self.clock,
                **common,
            )

        def make_ticker() -> Ticker:
            return Ticker(
                outside.messages,
                outside.streams[DUE],
                outside.locks,
                self._email,
                clock=self.clock,
                cron=settings.minute_cron,
                late_limit=settings.late_limit,
                email_rate=settings.email_rate.per_second if settings.email_rate else None,
                on_jump=self._jumped,
                tracing=self._tracing,
                **acting,
            )

        def make_sampler() -> Sampler:
            return Sampler(
                outside.messages,
                outside.planning,
                outside.streams,
                outside.queue,
                pool=outside.pool,
                tree=lambda: self.tree.view(),
                **common,
            )

        def make_membership() -> Membership:
            return Membership(
                outside.nodes,
                self.lease,
                node=settings.node_id,
                admission=self._admit,
                recognise=outside.recognise,
                outages=self.outages,
            )

        drain_within = settings.drain_within.total_seconds()
        return Supervisor(
            "node",
            [
                spec(quiet("membership"), make_membership),
                Supervisor(
                    "delivery",
                    [
                        ChildSpec("recorder", make_recorder, record, drain_within=drain_within),
                        Pool("senders", make_sender, deliver, settings.delivery_actors, drain_within=drain_within),
                        spec(quiet("intake"), make_intake),
                    ],
                    strategy=Strategy.REST_FOR_ONE,
                    on_event=self._event,
                    clock=self._steady,
                    describe=summary,
                ),
                spec(quiet("dispatcher"), make_dispatcher),
                spec(self._planner, make_planner),
                spec(quiet("zone keeper"), make_zone_keeper),
                spec(quiet("watchman"), make_watchman),
                spec(self._recovery, make_recovery),
                spec(self._ticker, make_ticker),
                spec(quiet("sampler"), make_sampler),
                spec(quiet("api"), self._make_api),
            ],
            on_event=self._event,
            clock=self._steady,
            describe=summary,
        )

    def _make_api(self) -> Actor[Any]:
        outside = self._outside
        return outside.api(
            ApiParts(
                settings=self.settings,
                users=outside.users,
                planning=outside.planning,
                messages=outside.messages,
                history=outside.history,
                previews=outside.previews,
                idempotency=outside.idempotency,
                request_rate=outside.request_rate,
                clock=self.clock,
                outages=self.outages,
                metrics=self.metrics,
                tracing=self._tracing,
                tree=lambda: self.tree.view(),
                jobs={
                    "daily": partial(self._planner.ask, RunDaily, within=JOB_WITHIN),
                    "minute": partial(self._ticker.ask, RunMinute, within=JOB_WITHIN),
                    "recovery": partial(self._recovery.ask, RunRecovery, within=JOB_WITHIN),
                },
                checks=self._checks(),
                needed={
                    "postgres": "database",
                    "redis": "redis",
                    **({"rabbitmq": "rabbitmq"} if self.settings.rabbitmq_url else {}),
                },
                ready=self._not_ready,
            )
        )

    # --- what they tell one another ----------------------------------------------------------------------------

    def _tell(self, address: Address[Any], message: object) -> None:
        """A hint: when the mailbox is full, the same is found out by the next pass."""
        address.offer(message)

    def _emptied(self, emptied: Emptied) -> None:
        # Also at the first start of all, when there is nothing to lose: hence no warning.
        log.info("store_was_emptied", what=str(emptied))
        self._tell(self._recovery, Reseed())

    def _jumped(self, _jump: Jump) -> None:
        self._tell(self._planner, PlanAgain())

    def _count_living(self, count: int) -> None:
        self._living = count
        self.metrics.nodes_living.set(count)

    def _server_changed(self, system: str, away: bool) -> None:
        self.metrics.dependency_up.labels(system).set(0 if away else 1)
        if away:
            self.metrics.outages.labels(system).inc()

    def _circuit_changed(self, old: CircuitState, new: CircuitState) -> None:
        """An outage of the email service lasts until the circuit is closed again: trials are part of it."""
        self.metrics.circuit_state.labels(SERVICE).set(new)
        if CircuitState.CLOSED not in (old, new):
            log.debug("circuit_changed", old=old.name.lower(), new=new.name.lower())
            return
        before, self._circuit_since = self._circuit_since, self._steady()
        if new is CircuitState.CLOSED:
            log.info("circuit_closed", seconds=round(self._circuit_since - before, 3))
        else:
            log.warning("circuit_opened", failures=self.settings.circuit_failures)

    def _call_ended(self, success: bool) -> None:
        (self._successes if success else self._failures).inc()

    def _event(self, event: Event) -> None:
        match event:
            case Crashed(actor, error):
                log.error("actor_crashed", actor=actor, exc_info=error)
            case Restarting(actor, delay, restarts):
                self.metrics.actor_restarts.labels(actor).inc()
                log.warning("actor_restarting", actor=actor, seconds=round(delay, 3), restarts=restarts)
            case TaskFailed(actor, task, error):
                self.metrics.task_failures.labels(actor).inc()
                log.error("task_failed", actor=actor, task=task, exc_info=error)
            case StopFailed(actor, error):
                log.error("actor_stop_failed", actor=actor, exc_info=error)
            case Escalated(actor, error):
                log.critical("actor_escalated", actor=actor, exc_info=error)
            case Abandoned():
                log.warning("actor_abandoned_work", actor=event.actor, messages=event.messages, tasks=event.tasks)
            case _:
                log.debug(type(event).__name__.lower(), actor=event.actor)

    # --- whether it may, and can, work -------------------------------------------------------------------------

    async def _admit(self) -> bool:
        """Whether this database is one to work with. Raises Unavailable while it is away or has no schema yet."""
        if lacking := await self._outside.lacking():
            raise Unavailable("postgres", f"the schema lacks {', '.join(lacking)}: run `heyday migrate`")
        pulse = await self._outside.messages.pulse()
        differs = abs((pulse.now - pulse.real_now).total_seconds()) > CLOCK_MAY_DIFFER or pulse.rate != 1
        if differs and not self._rehearsal and not self._refused.done():
            self._refused.set_exception(
                Refused(
                    f"the business clock of this database is not the real one (it says {pulse.now.isoformat()}, the "
                    f"real one {pulse.real_now.isoformat()}, rate {pulse.rate:g}): it belongs to a demo or a rehearsal"
                )
            )
        return not self._refused.done()

    def _not_ready(self) -> list[str]:
        missing_now = [outage.system for outage in self.outages.current()]
        if not self.lease.held and "postgres" not in missing_now:
            missing_now.append("lease")
        if self.clock.now() is None:
            # Without it the API can say of no user what is still ahead of them, and nothing is due.
            missing_now.append("clock")
        return missing_now

    def _checks(self) -> dict[str, Callable[[], Awaitable[dict[str, object]]]]:
        outside = self._outside

        async def database() -> dict[str, object]:
            began = time.perf_counter()
            pulse = await outside.messages.pulse()
            round_trip = time.perf_counter() - began
            pool = outside.pool()
            return {
                "now": pulse.now,
                "roundTripSeconds": round(round_trip, 6),
                "schemaVersion": await outside.schema(),
                "nodes": [beat.node for beat in await outside.nodes.living()],
                "pool": {"active": pool.active, "idle": pool.idle, "max": pool.max},
            }

        async def redis() -> dict[str, object]:
            began = time.perf_counter()
            states = {name: await stream.state() for name, stream in outside.streams.items()}
            return {
                "roundTripSeconds": round((time.perf_counter() - began) / len(states), 6),
                "streams": {name: {"length": one.length, "pending": one.pending} for name, one in states.items()},
            }

        async def queue() -> dict[str, object]:
            depth = await outside.queue.depth()
            of_redis = not self.settings.rabbitmq_url
            return {
                "queue": stream_queue.DELIVERY if of_redis else DELIVERY,
                "ready": depth.ready,
                "unacknowledged": depth.unacknowledged,
                "deadLetterQueue": stream_queue.DEAD if of_redis else DEAD,
                "dead": depth.dead,
            }

        async def email() -> dict[str, object]:
            return {
                "circuit": self._email.circuit.name.lower(),
                "circuitSeconds": round(self._steady() - self._circuit_since, 3),
                "failuresInARow": self._email.failures_in_a_row,
                "opensAfter": self.settings.circuit_failures,
            }

        return {
            "database": database,
            "redis": redis,
            "rabbitmq" if self.settings.rabbitmq_url else "queue": queue,
            "email": email,
        }
