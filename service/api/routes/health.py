"""Health, in four depths, and the metrics of the node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from service.api.dependencies import ApiDependencies
from service.api.health_checks import HealthCheck
from service.api.http.responses import json_response
from service.api.openapi.decorators import ResponseSpec, operation
from service.api.representations.node import DetailedHealthAnswer, HealthAnswer, LivenessAnswer
from service.domain.zones import TZDATA_VERSION


class HealthRoutes:
    """`/health` and `/metrics`: outside /api/v1, without keys or rate limits."""

    def __init__(self, dependencies: ApiDependencies, draining: Callable[[], bool]) -> None:
        self._dependencies = dependencies
        self._draining = draining
        systems = {check: system for system, check in dependencies.needed.items()}
        self._checks = {
            name: HealthCheck(look, partial(dependencies.outages.state, systems[name]) if name in systems else None)
            for name, look in dependencies.checks.items()
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self.health),
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.get("/health/detailed", self.detailed),
            web.get("/metrics", self.metrics),
        ]

    @operation("health", "Health", responses={200: ResponseSpec("The node can answer.", HealthAnswer)})
    async def health(self, _request: web.Request) -> web.Response:
        """200 while the node can answer. `degraded` if a server is missing."""
        missing = self._missing()
        return _fresh(HealthAnswer.json(status="degraded" if missing else "ok", missing=missing))

    @operation("health", "Liveness", responses={200: ResponseSpec("The event loop turns.", LivenessAnswer)})
    async def live(self, _request: web.Request) -> web.Response:
        """200 while the event loop runs. It depends on no server, so an outage never restarts the node."""
        return _fresh(LivenessAnswer.json(status="ok"))

    @operation(
        "health",
        "Readiness",
        responses={
            200: ResponseSpec("It can work.", HealthAnswer),
            503: ResponseSpec("`missing` says what is not there.", HealthAnswer),
        },
    )
    async def ready(self, _request: web.Request) -> web.Response:
        """503 while a required server is down or does not answer, or while the node drains."""
        missing = self._missing(await self._results(self._dependencies.needed.values()))
        return _fresh(
            HealthAnswer.json(status="unavailable" if missing else "ok", missing=missing), 503 if missing else 200
        )

    @operation("health", "Detailed health", responses={200: ResponseSpec("The figures.", DetailedHealthAnswer)})
    async def detailed(self, _request: web.Request) -> web.Response:
        """The state of the node and of its servers, at most a second old."""
        dependencies, outages = self._dependencies, self._dependencies.outages
        figures = await self._results(self._checks)
        missing = self._missing(figures)
        return _fresh(
            {
                **DetailedHealthAnswer.json(
                    status="degraded" if missing else "ok",
                    missing=missing,
                    node=dependencies.name(),
                    outages=[
                        {"system": one.system, "reason": one.reason, "seconds": round(outages.seconds(one), 3)}
                        for one in outages.current()
                    ],
                    clock={
                        "now": dependencies.clock.now(),
                        "skewSeconds": dependencies.clock.skew,
                        "jumps": dependencies.clock.jumps,
                    },
                    tzdata=TZDATA_VERSION,
                    actors=dependencies.tree(),
                ),
                **figures,
            }
        )

    @operation(
        "health", "Metrics", responses={200: ResponseSpec("In the format of Prometheus.", "Metrics", "text/plain")}
    )
    async def metrics(self, request: web.Request) -> web.Response:
        """All metrics, in the format that the scraper prefers."""
        encoder, content_type = _encoder(request.headers.get("Accept", ""))
        return web.Response(body=encoder(self._dependencies.metrics.registry), headers={"Content-Type": content_type})

    async def _results(self, checks: Iterable[str]) -> dict[str, Mapping[str, object]]:
        names = list(checks)
        return dict(zip(names, await asyncio.gather(*(self._checks[name].result() for name in names)), strict=True))

    def _missing(self, figures: Mapping[str, Mapping[str, object]] = MappingProxyType({})) -> list[str]:
        """Name what the actors miss, and each needed server that a check finds down before they do."""
        missing = [*self._dependencies.ready(), *(["draining"] if self._draining() else [])]
        needed = self._dependencies.needed.items()
        down = [system for system, check in needed if check in figures and figures[check]["status"] == "down"]
        return [*missing, *(system for system in down if system not in missing)]


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """The encoder for a header `Accept`, and its content type. A version that is no number gets the oldest format."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # the library compares the version's parts with numbers
        return choose_encoder("")


def _fresh(content: dict[str, object], status: int = 200) -> web.Response:
    return json_response(content, status=status, headers={"Cache-Control": "no-store"})
