"""Health, in four depths, and the metrics of the node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from actors.api.answers import answer
from actors.api.checks import Check
from actors.api.documented import Answer, operation
from actors.api.parts import ApiParts
from actors.runtime import ChildView
from service.domain.zones import TZDATA_VERSION


class HealthRoutes:
    """`/health` and `/metrics`: outside /api/v1, without keys or rate limits."""

    def __init__(self, parts: ApiParts, draining: Callable[[], bool]) -> None:
        self._parts = parts
        self._draining = draining
        systems = {check: system for system, check in parts.needed.items()}
        self._checks = {
            name: Check(look, partial(parts.outages.state, systems[name]) if name in systems else None)
            for name, look in parts.checks.items()
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self.health),
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.get("/health/detailed", self.detailed),
            web.get("/metrics", self.metrics),
        ]

    @operation("health", "Health", answers={200: Answer("The node can answer.", "Health")})
    async def health(self, _request: web.Request) -> web.Response:
        """200 as long as the node can answer; `degraded` when something is missing."""
        missing = self._missing()
        return _fresh({"status": "degraded" if missing else "ok", "missing": missing})

    @operation("health", "Liveness", answers={200: Answer("The event loop turns.", "Liveness")})
    async def live(self, _request: web.Request) -> web.Response:
        """200 as long as the event loop turns: it depends on no server, so an outage never has the node restarted."""
        return _fresh({"status": "ok"})

    @operation(
        "health",
        "Readiness",
        answers={200: Answer("It can work.", "Health"), 503: Answer("`missing` says what is not there.", "Health")},
    )
    async def ready(self, _request: web.Request) -> web.Response:
        """503 while a server that is needed is away or does not answer, or the node is draining."""
        needed = self._parts.needed
        seen = await asyncio.gather(*(self._checks[check].result() for check in needed.values()))
        missing = self._missing()
        missing += [
            system for system, one in zip(needed, seen, strict=True) if one["status"] != "up" and system not in missing
        ]
        return _fresh({"status": "unavailable" if missing else "ok", "missing": missing}, 503 if missing else 200)

    @operation("health", "Detailed health", answers={200: Answer("The figures.", "DetailedHealth")})
    async def detailed(self, _request: web.Request) -> web.Response:
        """Everything the node knows about itself and its servers, looked at within the last second."""
        parts = self._parts
        figures = await asyncio.gather(*(check.result() for check in self._checks.values()))
        now = asyncio.get_running_loop().time()
        missing = self._missing()
        return _fresh(
            {
                "status": "degraded" if missing else "ok",
                "missing": missing,
                "node": parts.settings.node_id,
                **dict(zip(self._checks, figures, strict=True)),
                "outages": [
                    {"system": outage.system, "reason": outage.reason, "seconds": round(now - outage.since, 3)}
                    for outage in parts.outages.current()
                ],
                "clock": {"now": parts.clock.now(), "skewSeconds": parts.clock.skew, "jumps": parts.clock.jumps},
                "tzdata": TZDATA_VERSION,
                "actors": _actor(parts.tree()),
            }
        )

    @operation("health", "Metrics", answers={200: Answer("In the format of Prometheus.", "Metrics", "text/plain")})
    async def metrics(self, request: web.Request) -> web.Response:
        """All metrics, in the format that the scraper prefers."""
        encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encoder(self._parts.metrics.registry), headers={"Content-Type": content_type})

    def _missing(self) -> list[str]:
        return [*self._parts.ready(), *(["draining"] if self._draining() else [])]


def _actor(view: ChildView) -> dict[str, object]:
    return {
        "name": view.name,
        "kind": view.kind,
        "state": view.state,
        "mailbox": None if view.depth is None else {"depth": view.depth, "capacity": view.capacity},
        "restarts": view.restarts,
        "lastError": view.last_error,
        "seconds": round(view.since, 3),
        "children": [_actor(child) for child in view.children],
    }


def _fresh(content: dict[str, object], status: int = 200) -> web.Response:
    return answer(content, status=status, headers={"Cache-Control": "no-store"})
