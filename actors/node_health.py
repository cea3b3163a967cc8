"""The health of one node: checks of its servers, readiness, and the supervision tree as JSON."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version

from actors.context import NodeContext
from actors.node_events import CircuitEvents
from actors.runtime import ChildView
from actors.wiring import Resources
from service.api.representations.limits import limits_json
from service.domain.messages import EmailServiceName
from service.domain.zones import TZDATA_VERSION
from service.node.email_services import EmailPath, EmailServices
from service.node.limits import NodeLimits
from service.ports.names import RABBITMQ_QUEUE, REDIS_QUEUE
from service.settings import Settings, effective

SET_ASIDE_SHOWN = 10
"""The number of set-aside messages that `/health/detailed` lists, newest first."""

Check = Callable[[], Awaitable[dict[str, object]]]


class NodeHealth:
    """The figures of `/health/detailed`, and the missing conditions of `/health/ready`."""

    def __init__(
        self,
        settings: Settings,
        node: NodeContext,
        resources: Resources,
        services: EmailServices,
        circuits: Mapping[EmailServiceName, CircuitEvents],
        limits: NodeLimits,
        tree: Callable[[], ChildView],
    ) -> None:
        self._settings = settings
        self._node = node
        self._resources = resources
        self._services = services
        self._circuits = circuits
        self._limits = limits
        self._tree = tree
        self._version = version("heyday")
        rabbitmq = settings.rabbitmq_url is not None
        self._queue_names = RABBITMQ_QUEUE if rabbitmq else REDIS_QUEUE
        self.checks: Mapping[str, Check] = {
            "database": self._database,
            "redis": self._redis,
            "rabbitmq" if rabbitmq else "queue": self._queue,
            "email": self._email_service,
            "rules": self._rules,
            "holds": self._holds,
            "limits": self._effective_limits,
            "settings": self._effective_settings,
        }
        self.needed: Mapping[str, str] = {
            "postgres": "database",
            "redis": "redis",
            **({"rabbitmq": "rabbitmq"} if rabbitmq else {}),
        }
        """The check of each server that readiness needs."""

    def lacking(self) -> list[str]:
        """Name the missing conditions of readiness, as far as the actors know."""
        lacking = [outage.system for outage in self._node.outages.current()]
        if not self._node.lease.held and "postgres" not in lacking:
            lacking.append("lease")
        if self._node.clock.now() is None:
            # Without a reading the API cannot tell which greetings of a user are still ahead, and nothing is due.
            lacking.append("clock")
        return lacking

    def report(self) -> dict[str, object]:
        """The state of the node, for pages that any node serves: no personal data, and no figures of a server."""
        node, pool, email = self._node, self._resources.pool(), self._services.primary.email
        now = node.clock.steady()
        return {
            "version": self._version,
            "tzdata": TZDATA_VERSION,
            "missing": self.lacking(),
            "lease": {"held": node.lease.held, "secondsLeft": round(node.lease.remaining, 1)},
            "clock": {"skewSeconds": round(node.clock.skew, 3), "jumps": node.clock.jumps},
            "circuit": {
                "state": email.circuit.name.lower(),
                "reason": email.unavailable,
                "seconds": round(now - self._circuits[EmailServiceName.PRIMARY].since, 1),
            },
            "outages": [
                {"system": one.system, "reason": one.reason, "seconds": round(now - one.since, 1)}
                for one in node.outages.current()
            ],
            "queuePolicies": [
                {"policy": policy, "seconds": round(seconds, 1)}
                for policy, seconds in self._resources.queue_policies().items()
            ],
            "pool": {"active": pool.active, "idle": pool.idle, "max": pool.max, "waiting": pool.waiting},
            "limits": limits_json(self._limits),
            "actors": tree_as_json(self._tree()),
        }

    async def _database(self) -> dict[str, object]:
        resources = self._resources
        began = time.perf_counter()
        reading = await resources.messages.read_clock()
        round_trip = time.perf_counter() - began
        pool = resources.pool()
        return {
            "now": reading.now,
            "roundTripSeconds": round(round_trip, 6),
            "schemaVersion": await resources.schema(),
            "nodes": [beat.node for beat in await resources.nodes.living()],
            "pool": {"active": pool.active, "idle": pool.idle, "max": pool.max},
            # Without the server's reason, which may quote a row: health is for everyone.
            "setAside": [
                {"id": one.id, "action": one.action, "since": one.since, "lookAgainAt": one.look_again_at}
                for one in await resources.messages.set_aside(SET_ASIDE_SHOWN)
            ],
        }

    async def _redis(self) -> dict[str, object]:
        began = time.perf_counter()
        states = {name: await stream.state() for name, stream in self._resources.streams.items()}
        return {
            "roundTripSeconds": round((time.perf_counter() - began) / len(states), 6),
            "streams": {name: {"length": one.length, "pending": one.pending} for name, one in states.items()},
        }

    async def _queue(self) -> dict[str, object]:
        depth = await self._resources.queue.depth()
        return {
            "queue": self._queue_names.delivery,
            "ready": depth.ready,
            "unacknowledged": depth.unacknowledged,
            "deadLetterQueue": self._queue_names.dead,
            "dead": depth.dead,
        }

    async def _rules(self) -> dict[str, object]:
        """The planning rules in force. `environmentDiffers` is true if this node was started with others."""
        rules = await self._resources.planning.rules()
        ours = (self._settings.send_at, self._settings.leap_day)
        return {
            "version": rules.version,
            "sendAt": rules.send_at.isoformat(),
            "leapDay": rules.leap_day,
            "environmentDiffers": (rules.send_at, rules.leap_day) != ours,
            "occasionProblems": [
                {"occasion": one.code[:32], "problem": one.sentence[:300], "leftOut": one.left_out}
                for one in rules.problems
            ],
        }

    async def _holds(self) -> dict[str, object]:
        """The active holds as this node knows them."""
        return {
            "active": [
                {
                    "id": one.id,
                    "occasion": one.occasion,
                    "since": one.created_at,
                    "until": one.until,
                    "author": one.author,
                    "reason": one.reason,
                }
                for one in self._node.holds.active
            ],
        }

    async def _effective_limits(self) -> dict[str, object]:
        """The run-time limits as they are in effect on this node."""
        return limits_json(self._limits)

    async def _effective_settings(self) -> dict[str, object]:
        """The settings in effect, without secrets and addresses, and the version."""
        return {"version": self._version, "settings": effective(self._settings)}

    async def _email_service(self) -> dict[str, object]:
        primary, fallback = self._services.primary, self._services.fallback
        return {
            **self._circuit(EmailServiceName.PRIMARY, primary),
            "fallback": None if fallback is None else self._circuit(EmailServiceName.FALLBACK, fallback),
            # Only their number, because health is public.
            "onlyTo": None if self._settings.only_to is None else len(self._settings.only_to),
        }

    def _circuit(self, name: EmailServiceName, path: EmailPath) -> dict[str, object]:
        return {
            "circuit": path.email.circuit.name.lower(),
            "reason": path.email.unavailable,
            "circuitSeconds": round(self._node.clock.steady() - self._circuits[name].since, 3),
            "failuresInARow": path.email.failures_in_a_row,
            "opensAfter": self._settings.circuit_failures,
        }


def tree_as_json(view: ChildView) -> dict[str, object]:
    """Make the JSON of one child and of those below it."""
    return {
        "name": view.name,
        "kind": view.kind,
        "state": view.state,
        "mailbox": None if view.depth is None else {"depth": view.depth, "capacity": view.capacity},
        "restarts": view.restarts,
        "lastError": view.last_error,
        "seconds": round(view.since, 3),
        "children": [tree_as_json(child) for child in view.children],
    }
