"""The supervision tree of one node.

    node
    ├── membership         heartbeats; keeps the lease under which the node works
    ├── holds_reader       reads the active holds and the limits, four times a second
    ├── delivery           a child that fails restarts with those below it
    │   ├── result_writer  writes outcomes, acknowledges deliveries
    │   ├── senders        a pool: claim a bundle, call the email service
    │   └── consumer       takes bundles from the delivery queue
    ├── dispatcher         heyday:due -> delivery queue
    ├── planner            announces and plans, heyday:plan
    ├── rules_updater      writes the planning rules, plans again when they change
    ├── tzdata_updater     moves unsent messages by newer zone data
    ├── failure_detector   ends dead nodes
    ├── recovery           moves stuck work one hop back
    ├── ticker             claims due messages -> heyday:due
    ├── gauges             samples depths and pools
    ├── node_reporter      shares the state of this node
    ├── secret_reader      reads the files of secrets again, where there are any
    └── api                HTTP

It starts from the top, so each actor finds the next hop running. It drains from the bottom, so nothing new comes in
while the rest is finished.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Never, TypeVar

import structlog

from actors.admission import Admission
from actors.context import NodeContext
from actors.delivery.consumer import Consumer
from actors.delivery.permits import Permits
from actors.delivery.result_writer import Acknowledge, Flush, Record, ResultWriter, UnwrittenResults
from actors.delivery.sender import Deliver, Sender
from actors.dispatcher import Dispatcher
from actors.failpoints import FailpointHook, no_failpoints
from actors.failure_detector import FailureDetector
from actors.gauges import Gauges
from actors.holds_reader import HoldsReader
from actors.job_triggers import run_job
from actors.membership import Membership
from actors.node_events import CircuitEvents, NodeEvents
from actors.node_health import NodeHealth, tree_as_json
from actors.node_reporter import NodeReporter
from actors.periodic import Tick
from actors.planner import PlanAgain, Planner, RunDaily
from actors.recovery import DeadLetter, NodeDied, RebuildQueues, Recovery, RunRecovery
from actors.rules_updater import RulesUpdater
from actors.runtime import Actor, Address, AnyChild, ChildSpec, Event, Pool, Strategy, Supervisor
from actors.secret_reader import SecretReader
from actors.ticker import RunMinute, Ticker
from actors.tzdata_updater import TzdataUpdater
from actors.wiring import MakeResources, email_services, highest_email_rate, production_resources
from service.api.dependencies import ApiDependencies
from service.api.email_events.secrets import EmailEventSecrets
from service.api.middleware.api_keys import ApiKeys
from service.domain.limits import LimitChange, LimitName, Source
from service.domain.planning import CalendarDefaults
from service.domain.zones import TZDATA_VERSION
from service.node.clock import BusinessClock, Jump
from service.node.lease import Lease, elapsed
from service.node.limits import NodeLimits
from service.node.outages import Outages
from service.node.secret_files import SecretFiles
from service.node.sending_holds import SendingHolds
from service.ports import Emptied
from service.ports.names import DUE, PLAN
from service.settings import Settings, effective
from service.telemetry.failures import summary
from service.telemetry.logs import use_level
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import OFF, Tracing

log = structlog.get_logger(__name__)

HINTS_MAX = 16
"""Messages in the mailbox of an actor that others only wake, or ask for a job."""


M = TypeVar("M")


def periodic(name: str, make: Callable[[], Actor[Tick]]) -> ChildSpec[Tick]:
    """Make the child of an actor that receives nothing but its own ticks."""
    return ChildSpec(name, make, Address(name, capacity=1))


def hint(address: Address[M], message: M) -> None:
    """Offer a message. When the mailbox is full, the actor finds out the same in its next pass."""
    address.offer(message)


class Node:
    """All actors of one node, on the ports that `resources` makes from the settings.

    `rehearsal` accepts a database whose business clock was moved. `steady` measures durations; `elapsed` measures those
    that go on while the machine is suspended; both in seconds. The caller closes `tracing`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        failpoint: FailpointHook = no_failpoints,
        rehearsal: bool = False,
        resources: MakeResources = production_resources,
        steady: Callable[[], float] = time.monotonic,
        elapsed: Callable[[], float] = elapsed,
        tracing: Tracing = OFF,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics(settings.node_id)
        self.metrics.initialize_series(systems=["postgres", "redis", *(["rabbitmq"] if settings.rabbitmq_url else [])])
        self.events = NodeEvents(self.metrics)
        self.circuits = {
            service.name: CircuitEvents(self.metrics, service.name, steady=steady, failures=settings.circuit_failures)
            for service in settings.email_services
        }
        self.context = NodeContext(
            lease=Lease(elapsed),
            clock=BusinessClock(steady),
            outages=Outages(steady, on_change=self.events.server_changed),
            metrics=self.metrics,
            holds=SendingHolds(elapsed),
            failpoint=failpoint,
            tracing=tracing,
        )
        self.limits = NodeLimits(settings)
        self._api_keys = ApiKeys(settings)
        self._email_event_secrets = EmailEventSecrets(settings)
        self._permits = {one.name: Permits(one.calls(self.limits.email_concurrency)) for one in settings.email_services}
        self._resources = resources(settings, self.metrics, lambda: self.events.living_nodes)
        self._resources.on_database_changed(self.context.lease.end)
        self._services, self._circuit_breakers = email_services(
            settings, self._resources, circuits=self.circuits, steady=steady
        )
        rate = self._resources.rate
        self.metrics.email_rate_limit.set_function(lambda: rate.per_second)
        self._show_limits()
        self._admission = Admission(self._resources, rehearsal=rehearsal)
        self._health = NodeHealth(
            settings,
            self.context,
            self._resources,
            self._services,
            self.circuits,
            self.limits,
            lambda: self.tree.view(),
        )
        self._unwritten = UnwrittenResults()
        self._is_oldest = True
        """True on the oldest living node, which samples the gauges for all.

        Before a node knows the others, it is true there, too.
        """
        self._membership: Address[Tick] = Address("membership", capacity=1)
        self._planner: Address[RunDaily | PlanAgain | Tick] = Address("planner", capacity=HINTS_MAX)
        self._recovery: Address[RunRecovery | RebuildQueues | DeadLetter | NodeDied | Tick] = Address(
            "recovery", capacity=HINTS_MAX
        )
        self._ticker: Address[RunMinute | Tick] = Address("ticker", capacity=HINTS_MAX)
        self.tree = self._make_tree()

    async def run(self, stop: asyncio.Event) -> bool:
        """Run until `stop` is set, then drain. Return True when nothing was abandoned.

        Raises TooManyRestarts when an actor cannot be kept running; Refused when the node must not work with the
        database.
        """
        await self._resources.open()
        for one in self._circuit_breakers:
            await one.open()
        try:
            await self.tree.start()
            log.info(
                "node_started",
                queue="rabbitmq" if self.settings.rabbitmq_url else "redis stream",
                version=version("heyday"),
                settings=effective(self.settings),
            )
            await self._until(stop)
            report = await self.tree.drain(self.settings.drain_within.total_seconds())
            log.info("node_drained", seconds=round(report.took, 3), abandoned=len(report.abandoned))
            return report.clean
        finally:
            for one in self._circuit_breakers:
                await one.close()
            await self._resources.close()

    async def _until(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set. Raises TooManyRestarts and Refused."""
        stopped, gave_up = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(self.tree.wait())
        refused = self._admission.refused
        try:
            await asyncio.wait((stopped, gave_up, refused), return_when=asyncio.FIRST_COMPLETED)
            if refused.done():
                await self.tree.drain(self.settings.drain_within.total_seconds())
                refused.result()
            if gave_up.done():
                gave_up.result()
        finally:
            stopped.cancel()
            gave_up.cancel()

    def tree_changed(self, event: Event) -> None:
        """Take an event of the supervision tree."""
        self.events.tree_changed(event)

    # --- the tree --------------------------------------------------------------------------------------------------

    def _make_tree(self) -> Supervisor:
        children: list[AnyChild] = [
            ChildSpec("membership", self._make_membership, self._membership),
            periodic("holds_reader", self._make_holds_reader),
            self._make_delivery(),
            periodic("dispatcher", self._make_dispatcher),
            ChildSpec("planner", self._make_planner, self._planner),
            periodic("rules_updater", self._make_rules_updater),
            periodic("tzdata_updater", self._make_tzdata_updater),
            periodic("failure_detector", self._make_failure_detector),
            ChildSpec("recovery", self._make_recovery, self._recovery),
            ChildSpec("ticker", self._make_ticker, self._ticker),
            periodic("gauges", self._make_gauges),
            *self._node_reporter(),
            *self._secret_reader(),
            ChildSpec("api", self._make_api, Address[Never]("api", capacity=1)),
        ]
        return self._supervisor("node", children, Strategy.ONE_FOR_ONE)

    def _make_delivery(self) -> Supervisor:
        settings = self.settings
        drain_within = settings.drain_within.total_seconds()
        deliver: Address[Deliver] = Address("senders", capacity=settings.delivery_actors)
        results: Address[Record | Acknowledge | Flush] = Address(
            "result_writer", capacity=2 * settings.email_concurrency
        )
        children: list[AnyChild] = [
            ChildSpec("result_writer", self._make_result_writer, results, drain_within=drain_within),
            Pool(
                "senders",
                lambda _number: self._make_sender(results),
                deliver,
                settings.delivery_actors,
                drain_within=drain_within,
            ),
            periodic("consumer", lambda: self._make_consumer(deliver)),
        ]
        return self._supervisor("delivery", children, Strategy.REST_FOR_ONE)

    def _supervisor(self, name: str, children: list[AnyChild], strategy: Strategy) -> Supervisor:
        return Supervisor(
            name,
            children,
            strategy=strategy,
            on_event=self.tree_changed,
            clock=self.context.clock.steady,
            describe=summary,
        )

    def _secret_reader(self) -> list[AnyChild]:
        files = self.settings.secret_files
        if not files:
            return []
        secrets = SecretFiles(files, self._resources.replacements)
        return [periodic("secret_reader", lambda: SecretReader(self.context, secrets))]

    def _node_reporter(self) -> list[AnyChild]:
        snapshots = self._resources.snapshots
        if snapshots is None:
            return []
        name, report = self._resources.name, self._health.report
        return [periodic("node_reporter", lambda: NodeReporter(self.context, snapshots, name=name, report=report))]

    # --- its actors ------------------------------------------------------------------------------------------------

    def _make_membership(self) -> Membership:
        return Membership(
            self.context,
            self._resources.nodes,
            name=self._resources.name,
            admission=self._admission.check,
            recognise=self._resources.recognise,
        )

    def _make_result_writer(self) -> ResultWriter:
        return ResultWriter(
            self.context,
            self._resources.messages,
            self._resources.accepted,
            self._resources.queue,
            unwritten=self._unwritten,
            on_failed=lambda: hint(self._recovery, DeadLetter()),
        )

    def _make_holds_reader(self) -> HoldsReader:
        return HoldsReader(
            self.context, self._resources.node_holds, self._resources.node_limits, on_limits=self._limits_read
        )

    def _make_sender(self, results: Address[Record | Acknowledge | Flush]) -> Sender:
        return Sender(
            self.context,
            self._resources.messages,
            self._resources.accepted,
            self._services,
            results,
            late_limit=self.settings.late_limit,
            permits=self._permits,
        )

    def _make_consumer(self, deliver: Address[Deliver]) -> Consumer:
        return Consumer(self.context, self._resources.queue, self._services, deliver, on_emptied=self._store_emptied)

    def _make_dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self.context, self._resources.streams[DUE], self._resources.queue, on_emptied=self._store_emptied
        )

    def _make_planner(self) -> Planner:
        return Planner(
            self.context,
            self._resources.planning,
            self._resources.streams[PLAN],
            cron=self.settings.daily_cron,
            on_emptied=self._store_emptied,
        )

    def _make_tzdata_updater(self) -> TzdataUpdater:
        return TzdataUpdater(
            self.context,
            self._resources.zone_data,
            self._resources.planning,
            self._resources.streams[PLAN],
            release=TZDATA_VERSION,
        )

    def _make_rules_updater(self) -> RulesUpdater:
        return RulesUpdater(
            self.context,
            self._resources.planning,
            self._resources.streams[PLAN],
            defaults=CalendarDefaults(self.settings.send_at, self.settings.leap_day),
        )

    def _make_failure_detector(self) -> FailureDetector:
        return FailureDetector(
            self.context,
            self._resources.messages,
            self._resources.nodes,
            self._services,
            on_living=self._nodes_seen,
            on_death=lambda: hint(self._recovery, NodeDied()),
        )

    def _make_recovery(self) -> Recovery:
        return Recovery(
            self.context,
            self._resources.messages,
            self._resources.nodes,
            self._resources.planning,
            self._resources.streams,
            self._resources.queue,
            self._resources.retention,
            self._services,
            email_timeout=self.settings.email_timeout,
            cron=self.settings.recovery_cron,
        )

    def _make_ticker(self) -> Ticker:
        return Ticker(
            self.context,
            self._resources.messages,
            self._resources.streams[DUE],
            self._resources.locks,
            self._services,
            cron=self.settings.minute_cron,
            late_limit=self.settings.late_limit,
            email_rate=lambda: highest_email_rate(self.limits.email_rate, self.settings.email_fallback),
            on_jump=self._clock_jumped,
        )

    def _make_gauges(self) -> Gauges:
        return Gauges(
            self.context,
            self._resources.messages,
            self._resources.planning,
            self._resources.streams,
            self._resources.queue,
            pool=self._resources.pool,
            tree=lambda: self.tree.view(),
            samples_for_all=lambda: self._is_oldest,
        )

    def _make_api(self) -> Actor[Never]:
        return self._resources.api(
            ApiDependencies(
                ports=self._resources,
                settings=self.settings,
                email=self._services.primary.email,
                fallback=None if self._services.fallback is None else self._services.fallback.email,
                clock=self.context.clock,
                outages=self.context.outages,
                metrics=self.metrics,
                tracing=self.context.tracing,
                tree=lambda: tree_as_json(self.tree.view()),
                jobs={
                    "daily": partial(run_job, self._planner, RunDaily),
                    "minute": partial(run_job, self._ticker, RunMinute),
                    "recovery": partial(run_job, self._recovery, RunRecovery),
                },
                checks=self._health.checks,
                needed=self._health.needed,
                ready=self._health.lacking,
                name=lambda: str(self._resources.name),
                report=self._health.report,
                active_holds=lambda: self.context.holds.active,
                limits=self.limits,
                api_keys=self._api_keys,
                email_event_secrets=self._email_event_secrets,
            )
        )

    # --- messages between them -------------------------------------------------------------------------------------

    def _store_emptied(self, emptied: Emptied) -> None:
        # At the very first start there is nothing to lose, so there is no warning.
        log.info("store_emptied", what=str(emptied))
        hint(self._recovery, RebuildQueues())

    def _nodes_seen(self, incarnations: Sequence[int]) -> None:
        self.events.nodes_counted(len(incarnations))
        if self.context.lease.held:
            self._is_oldest = self.context.lease.holds(min(incarnations, default=0))

    def _limits_read(self, changes: list[LimitChange]) -> None:
        changed = self.limits.renew(changes)
        if not changed:
            return
        limits = self.limits
        self._resources.rate.configure(limits.email_rate, limits.version(LimitName.EMAIL_RATE))
        for service in self.settings.email_services:
            self._permits[service.name].resize(service.calls(limits.email_concurrency))
        self._resources.resize(limits.email_concurrency)
        if LimitName.LOG_LEVEL in changed:
            use_level(limits.log_level)
        self._show_limits()
        for name, one in limits.effective().items():
            if name in changed and one.change is not None:
                log.warning("limit_changed", limit=name, value=one.value, source=one.source, author=one.change.author)

    def _show_limits(self) -> None:
        rate = self.limits.email_rate
        self.metrics.email_rate_configured.set(math.inf if rate is None else rate)
        self.metrics.email_concurrency.set(self.limits.email_concurrency)
        for name, one in self.limits.effective().items():
            self.metrics.limit_in_effect.labels(name).set(one.source is Source.LIMIT)

    def _clock_jumped(self, jump: Jump) -> None:
        if jump.machine_stood_still:
            # Other nodes may have ended this incarnation, and the clock of the lease stood still with the machine.
            self.context.lease.end()
            self.context.holds.expire()
            hint(self._membership, Tick())
        hint(self._planner, PlanAgain())
