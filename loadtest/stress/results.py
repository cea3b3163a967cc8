"""Reads the results from the files that locust writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TOTAL = "all routes"


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request: number of requests, and durations of answers (seconds; locust rounds from 0.1 s on
    to hundredths, from 1 s on to tenths)."""

    name: str
    requests: int
    failures: int
    times: Mapping[float, int]

    def percentile(self, share: float) -> float:
        """Return the seconds within which that share of the answers came; 0 without answers."""
        wanted, seen = share * sum(self.times.values()), 0
        for seconds in sorted(self.times):
            seen += self.times[seconds]
            if seen >= wanted:
                return seconds
        return 0.0


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the run: `at` seconds after its start, users, answers and failures."""

    at: float
    users: int
    answers: float
    failures: float


@dataclass(frozen=True, slots=True)
class Results:
    """A run of locust."""

    routes: tuple[Route, ...]
    history: tuple[Second, ...]
    failures: Mapping[str, int]
    """Counts of failures by status code or client error."""
    short_of_processor: bool
    """True if locust itself lacked processor time; durations are then too long and the rate too low."""

    @property
    def total(self) -> Route:
        """Return the figures of all routes together."""
        times: dict[float, int] = {}
        for route in self.routes:
            for seconds, count in route.times.items():
                times[seconds] = times.get(seconds, 0) + count
        return Route(TOTAL, sum(r.requests for r in self.routes), sum(r.failures for r in self.routes), times)

    def answered(self, begin: float, end: float) -> float:
        """Return answers per second between two times of the run (seconds since its start), with failures."""
        seen = [second.answers for second in self.history if begin <= second.at < end]
        return sum(seen) / len(seen) if seen else 0.0

    def failed(self, begin: float, end: float) -> float:
        """Return the failures between two times of the run, in seconds since its start."""
        return sum(second.failures for second in self.history if begin <= second.at < end)


def read(prefix: Path, summary: Path, said: str) -> Results:
    """Read the files of `--csv prefix` and `--json-file summary`, and locust's standard error."""
    found = json.loads(summary.read_text(encoding="utf-8"))
    routes = tuple(
        Route(
            f"{one['method']} {one['name']}",
            one["num_requests"],
            one["num_failures"],
            {float(milliseconds) / 1000: count for milliseconds, count in one["response_times"].items()},
        )
        for one in sorted(found, key=lambda one: (one["name"], one["method"]))
    )
    return Results(
        routes, _history(prefix.with_name(f"{prefix.name}_stats_history.csv")), _failures(prefix), "CPU usage" in said
    )


def _history(file: Path) -> tuple[Second, ...]:
    """Return counts per second from cumulative counts; locust's own rates are means of ten seconds."""
    seconds: list[Second] = []
    began = before = answers = failures = 0.0
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["Name"] != "Aggregated":
                continue
            at, count, failed = (
                float(row[name]) for name in ("Timestamp", "Total Request Count", "Total Failure Count")
            )
            began = began or at
            if (took := at - before) > 0 and before:
                rate, bad = (count - answers) / took, (failed - failures) / took
                seconds.append(Second(at - began, int(row["User Count"]), rate, bad))
            before, answers, failures = at, count, failed
    return tuple(seconds)


def _failures(prefix: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    with prefix.with_name(f"{prefix.name}_failures.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            kind = row["Error"].removeprefix("CatchResponseError('").removesuffix("')")
            counts[kind] = counts.get(kind, 0) + int(row["Occurrences"])
    return counts


def table(results: Results) -> str:
    """Return a Markdown table of every route and of all together, times in ms."""
    lines = ["| route | requests | p50, p95, p99, ms | errors |", "| --- | --- | --- | --- |"]
    for route in (*results.routes, results.total):
        times = ", ".join(f"{route.percentile(share) * 1000:.0f}" for share in (0.5, 0.95, 0.99))
        lines.append(f"| {route.name} | {route.requests} | {times} | {route.failures} |")
    if results.failures:
        lines += ["", "Errors: " + ", ".join(f"{kind} ({count})" for kind, count in results.failures.items())]
    if results.short_of_processor:
        lines += ["", "The generator itself was short of processor: its times are too long, its rate too low."]
    return "\n".join(lines)
