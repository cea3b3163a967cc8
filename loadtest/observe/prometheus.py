"""A private Prometheus that scrapes nodes every second and evaluates our alerts, and what can be asked of it."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import aiohttp

from service.embedded.ports import LOOPBACK
from service.embedded.server import Server

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "alerts" / "heyday.rules.yml"

EVERY = "1s"
"""Between two scrapes, and two evaluations of the rules: what takes an hour in production takes minutes here."""

ANSWER_WITHIN = 20.0
"""Seconds for one answer."""


class Refused(Exception):
    """Prometheus did not take a query, or does not see its targets."""


@dataclass(frozen=True, slots=True)
class Series:
    """What Prometheus has of one series: its labels, and values by seconds since 1970; none of them is NaN."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


class PrometheusServer(Server):
    """Prometheus as it is installed, with `targets` (HOST:PORT) for nodes and the rules of deploy/alerts."""

    name: ClassVar[str] = "Prometheus"
    programs: ClassVar[frozenset[str]] = frozenset({"prometheus"})

    def __init__(self, directory: Path, *, executable: Path, targets: Sequence[str]) -> None:
        super().__init__(directory)
        self._executable = executable
        self._targets = list(targets)

    @property
    def url(self) -> str:
        """Where it is asked. Raises ServerFailed before the first start."""
        return f"http://{LOOPBACK}:{self.port}"

    async def _prepare(self) -> None:
        self._home.folder("data")
        self._home.keep("heyday.rules.yml", RULES.read_text(encoding="utf-8"))
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
        """What the expression yields between two instants, in seconds since 1970. Raises Refused."""
        asked = {"query": expression, "start": since, "end": until, "step": step}
        answer = await self._ask("query_range", asked)
        found = [
            Series(one["metric"], [(at, float(value)) for at, value in one["values"] if not math.isnan(float(value))])
            for one in answer["result"]
        ]
        return [series for series in found if series.points]

    async def scraped(self) -> int:
        """How many targets answered the last scrape."""
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
