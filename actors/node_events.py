"""Turns events of a node into log lines and metrics: its tree, circuit, outages, and the other nodes."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from actors.runtime import Abandoned, Crashed, Escalated, Event, Restarting, StopFailed, TaskFailed
from service.domain.messages import EmailServiceName, UnavailableReason
from service.ports import CircuitState
from service.telemetry.metrics import CIRCUITS, Metrics

log = structlog.get_logger(__name__)


class NodeEvents:
    """The callbacks of one node."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.living_nodes = 1
        """The number of nodes that were seen alive last, this one included."""

    def tree_changed(self, event: Event) -> None:
        """Take an event of the supervision tree."""
        match event:
            case Crashed(actor, error):
                log.error("actor_crashed", actor=actor, exc_info=error)
            case Restarting(actor, delay, restarts):
                self._metrics.actor_restarts.labels(actor).inc()
                log.warning("actor_restarting", actor=actor, seconds=round(delay, 3), restarts=restarts)
            case TaskFailed(actor, task, error):
                self._metrics.task_failures.labels(actor).inc()
                log.error("task_failed", actor=actor, task=task, exc_info=error)
            case StopFailed(actor, error):
                log.error("actor_stop_failed", actor=actor, exc_info=error)
            case Escalated(actor, error):
                log.critical("actor_escalated", actor=actor, exc_info=error)
            case Abandoned():
                log.warning("actor_abandoned_work", actor=event.actor, messages=event.messages, tasks=event.tasks)
            case _:
                log.debug(type(event).__name__.lower(), actor=event.actor)

    def server_changed(self, system: str, away: bool) -> None:
        """An outage of a server has begun, or ended."""
        self._metrics.dependency_up.labels(system).set(0 if away else 1)
        if away:
            self._metrics.outages.labels(system).inc()

    def nodes_counted(self, count: int) -> None:
        """The failure detector has counted the living nodes."""
        self.living_nodes = count
        self._metrics.nodes_living.set(count)


class CircuitEvents:
    """The callbacks of the circuit before one email service. `failures` is the number that opens it."""

    def __init__(
        self, metrics: Metrics, service: EmailServiceName, *, steady: Callable[[], float], failures: int
    ) -> None:
        self._metrics = metrics
        self._service = service
        self._steady = steady
        self._failures_to_open = failures
        label = CIRCUITS[service]
        self._state = metrics.circuit_state.labels(label)
        self._successes = metrics.circuit_successes.labels(label)
        self._failures = metrics.circuit_failures.labels(label)
        for series in (self._successes, self._failures, metrics.sent_by_service.labels(label)):
            series.inc(0)
        self._state.set(CircuitState.CLOSED)
        self.since = steady()
        """The steady second since when the circuit is closed, or is not."""

    def changed(self, old: CircuitState, new: CircuitState, reason: UnavailableReason | None = None) -> None:
        """The circuit has changed. An outage lasts until the circuit is closed, because trials are part of it."""
        self._state.set(new)
        if self._service is EmailServiceName.PRIMARY:
            for one in UnavailableReason:
                self._metrics.email_service_state.labels(one).set(one is reason)
        if CircuitState.CLOSED not in (old, new):
            log.debug("circuit_changed", service=self._service, old=old.name.lower(), new=new.name.lower())
            return
        before, self.since = self.since, self._steady()
        if new is CircuitState.CLOSED:
            log.info("circuit_closed", service=self._service, seconds=round(self.since - before, 3))
        else:
            log.warning("circuit_opened", service=self._service, failures=self._failures_to_open, reason=reason)

    def call_ended(self, success: bool) -> None:
        """A call of the email service counts as a success or a failure of the circuit."""
        (self._successes if success else self._failures).inc()
