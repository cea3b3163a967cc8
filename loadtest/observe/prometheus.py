"""A private Prometheus that scrapes nodes every second and evaluates heyday's alerts."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import aiohttp

from actors.commands.sandbox.servers.ports import LOOPBACK
from actors.commands.sandbox.servers.server import Server

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "alerts" / "heyday.rules.yml"

EVERY = "1s"
"""Interval of scrapes and rule evaluations; shorter than in production, to save time."""

ANSWER_WITHIN = 20.0
"""Seconds for one answer."""


class Refused(Exception):
    """Prometheus refused a query."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and pairs of seconds since 1970 and value, without NaN."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


class PrometheusServer(Server):
    """The installed Prometheus, with `targets` (HOST:PORT) as nodes and the rules of deploy/alerts, or others."""

    name: ClassVar[str] = "Prometheus"
    programs: ClassVar[frozenset[str]] = frozenset({"prometheus"})

    def __init__(self, directory: Path, *, executable: Path, targets: Sequence[str], rules: str = "") -> None:
        super().__init__(directory)
        self._rules = rules or RULES.read_text(encoding="utf-8")
        self._executable = executable
        self._targets = list(targets)

    @property
    def url(self) -> str:
        """Return its URL. Raises ServerFailed before the first start."""
        return f"http://{LOOPBACK}:{self.port}"

    async def _prepare(self) -> None:
        self._home.folder("data")
        self._home.keep("heyday.rules.yml", self._rules)
        # JSON is YAML.
        configuration = {
            "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY},
            "rule_files": ["heyday.rules.yml"],
            "scrape_configs": [{"job_name": "heyday", "static_configs": [{"targets": self._targets}]}],
        }
        self._home.keep("prometheus.yml", json.dumps(configuration))

    def _launch(self, port: int) -> list[subprocess.Popen[bytes]]:
        options = {
            "config.file": "prometheus.yml",
            "storage.tsdb.path": "data",
            "web.listen-address": f"{LOOPBACK}:{port}",
            "log.level": "warn",
        }
        return [self._spawn([str(self._executable), *(f"--{name}={value}" for name, value in options.items())])]

    async def _probe(self, port: int) -> None:
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            await session.get(f"http://{LOOPBACK}:{port}/-/ready")

    async def query(self, expression: str, *, since: float, until: float, step: float = 1.0) -> list[Series]:
        """Return the series of an expression between two instants, in seconds since 1970. Raises Refused."""
        asked = {"query": expression, "start": since, "end": until, "step": step}
        answer = await self._ask("query_range", asked)
        found = [
            Series(one["metric"], [(at, float(value)) for at, value in one["values"] if not math.isnan(float(value))])
            for one in answer["result"]
        ]
        return [series for series in found if series.points]

    async def scraped(self) -> int:
        """Return the number of targets that answered the last scrape."""
        answer = await self._ask("targets", {"state": "active"})
        return sum(target["health"] == "up" for target in answer["activeTargets"])

    async def _ask(self, what: str, asked: dict[str, Any]) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{self.url}/api/v1/{what}", params=asked) as response,
        ):
            answer = await response.json()
        if answer["status"] != "success":
            raise Refused(f"{asked}: {answer['error']}")
        found: dict[str, Any] = answer["data"]
        return found
