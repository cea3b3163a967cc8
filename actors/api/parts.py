"""Everything the API needs, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from actors.runtime import ChildView
from service.clock import BusinessClock
from service.outages import Outages
from service.ports import History, Idempotency, Messages, Planning, Previews, RequestRate, Users
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import OFF, Tracing


@dataclass(frozen=True)
class ApiParts:
    """The ports behind the routes, and how the API asks other actors of its node.

    `jobs` run a job through its actor and may raise Unavailable, TimeoutError, MailboxFull and Stopped; `checks` look
    quickly at a server and return its figures, or raise Unavailable; `ready` names what the node has found to be
    missing for readiness, `needed` the checks that must be up for it, by the server that each looks at.
    """

    settings: Settings
    users: Users
    planning: Planning
    messages: Messages
    clock: BusinessClock
    outages: Outages
    metrics: Metrics
    tree: Callable[[], ChildView]
    jobs: Mapping[str, Callable[[], Awaitable[dict[str, int]]]]
    checks: Mapping[str, Callable[[], Awaitable[dict[str, object]]]]
    ready: Callable[[], list[str]]
    needed: Mapping[str, str]
    history: History
    previews: Previews
    idempotency: Idempotency
    request_rate: RequestRate | None = None
    tracing: Tracing = OFF


PARTS = web.AppKey("parts", ApiParts)
