"""Everything the API needs, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.api.email_events.secrets import EmailEventSecrets
from service.api.middleware.api_keys import ApiKeys
from service.domain.holds import Hold
from service.node.clock import BusinessClock
from service.node.limits import NodeLimits
from service.node.outages import Outages
from service.ports import (
    AuditLog,
    EmailService,
    History,
    Holds,
    Idempotency,
    Limits,
    Messages,
    Occasions,
    Overviews,
    Planning,
    Previews,
    RequestRate,
    Snapshots,
    Suppressions,
    UserLists,
    Users,
)
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import OFF, Tracing


class ApiPorts(Protocol):
    """The ports behind the routes.

    The composition root hands in the object that holds all ports of the node; the API sees these of them. A route that
    needs another port adds it here.
    """

    @property
    def users(self) -> Users: ...
    @property
    def planning(self) -> Planning: ...
    @property
    def messages(self) -> Messages: ...
    @property
    def history(self) -> History: ...
    @property
    def holds(self) -> Holds: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def user_lists(self) -> UserLists: ...
    @property
    def suppressions(self) -> Suppressions: ...
    @property
    def occasions(self) -> Occasions: ...
    @property
    def previews(self) -> Previews: ...
    @property
    def idempotency(self) -> Idempotency: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def overviews(self) -> Overviews: ...
    @property
    def snapshots(self) -> Snapshots | None:
        """None where nodes share no figures."""

    @property
    def request_rate(self) -> RequestRate | None:
        """None when requests are not limited."""


@dataclass(frozen=True)
class ApiDependencies:
    """The ports behind the routes, the state of the node, and how the API asks other actors.

    `jobs` run a job through its actor and may raise Unavailable, TimeoutError and Busy. `tree` is the supervision tree
    as JSON. `checks` look quickly at a server and return its figures, or raise Unavailable. `ready` lists what the node
    lacks for readiness. `needed` maps the servers that readiness needs to the check of each. `name` is that of the
    node's row, and `report` is what it says of itself. `active_holds`, `limits`, `api_keys` and
    `email_event_secrets` are those that the node knows.
    """

    ports: ApiPorts
    settings: Settings
    clock: BusinessClock
    outages: Outages
    metrics: Metrics
    tree: Callable[[], Mapping[str, object]]
    jobs: Mapping[str, Callable[[], Awaitable[dict[str, int]]]]
    checks: Mapping[str, Callable[[], Awaitable[dict[str, object]]]]
    ready: Callable[[], list[str]]
    needed: Mapping[str, str]
    name: Callable[[], str]
    report: Callable[[], Mapping[str, object]]
    limits: NodeLimits
    api_keys: ApiKeys
    email_event_secrets: EmailEventSecrets
    email: EmailService
    active_holds: Callable[[], Sequence[Hold]] = tuple
    tracing: Tracing = OFF
    fallback: EmailService | None = None
