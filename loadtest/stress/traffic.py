"""Scenarios of API traffic: many users, a ramp, a steady rate, an hour's soak, and traffic during a wave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

from loadtest.report import curves
from loadtest.stress import leak
from loadtest.stress.results import Results, table
from loadtest.stress.scenario import Check, Outcome, Setting, at_least, at_most, none
from loadtest.stress.shapes import Shape, crowd
from loadtest.stress.stand import standing
from loadtest.watch import Gauge, Seen, watching

RATE_KEPT = 0.95
"""Share of the requested rate that must be answered."""

RATE_KEPT_CROWDED = 0.6
"""The same if two cores are overloaded: clients that wait for an answer make fewer requests."""

SETTLED_AFTER = 5.0
"""Seconds after a rate is reached at which the measurement starts."""

WAVE = 10_000
"""Greetings of the wave during the traffic."""

SOAK_GREETINGS, SOAK_EVERY = 100, 5.0
"""Greetings that become due at once during a soak, and the seconds between: 20 per second."""

SAMPLE_INTERVAL = 1.0
"""Seconds between two readings of the node during a soak."""


async def mixed(setting: Setting) -> Outcome:
    """Run 1,000 users, each with a request every two seconds."""
    shape = crowd(1_000, each=0.5, within=20, seconds=20 + setting.minutes * 60)
    return await _api(setting, shape, "api-mixed", p99=1.0)


async def ramp(setting: Setting) -> Outcome:
    """Ramp from 0 to 1,000 requests per second within ten seconds, and stay there."""
    shape = Shape(((0, 0), (10, 1_000), (40, 1_000)))
    return await _api(setting, shape, "ramp", p99=5.0, kept=RATE_KEPT_CROWDED)


async def sustained(setting: Setting) -> Outcome:
    """Run 500 requests per second."""
    shape = crowd(500, each=1, within=5, seconds=5 + setting.minutes * 60)
    return await _api(setting, shape, "sustained", p99=2.0)


async def during_wave(setting: Setting) -> Outcome:
    """Run 200 requests per second while 10,000 greetings become due at one instant."""
    shape = crowd(200, each=1, within=5, seconds=5 + setting.minutes * 60)
    async with standing(people=WAVE) as stand:
        instant = datetime.now(UTC) + timedelta(seconds=shape.seconds / 3)
        await stand.greetings.put(WAVE, instant)
        results = await stand.traffic(shape)
        books = await stand.greetings.checks()
        verdict = await stand.greetings.verdict()
    late = at_most("last greeting after its due instant", verdict.latest.total_seconds(), 60, " s", digits=1)
    return _outcome(setting, "api-wave", shape, results, p99=4.0, kept=RATE_KEPT_CROWDED, more=(*books, late))


async def soak(setting: Setting) -> Outcome:
    """Run 100 requests and 20 greetings per second, and look for leaks of the node."""
    shape = crowd(100, each=1, within=5, seconds=5 + setting.minutes * 60)
    people = int((shape.seconds / SOAK_EVERY + 2) * SOAK_GREETINGS)
    async with standing(people=people) as stand, asyncio.TaskGroup() as tasks:
        trickle = tasks.create_task(stand.greetings.put_again_and_again(SOAK_GREETINGS, every=SOAK_EVERY))
        async with watching(_process(stand.pid), every=SAMPLE_INTERVAL) as seen:
            results = await stand.traffic(shape)
        trickle.cancel()
        await asyncio.wait([trickle])
        books = await stand.greetings.checks()
    limits = {"memory": leak.MEMORY, "files": leak.FILES, "threads": leak.THREADS}
    during = {name: [look for look in seen.curves[name] if look[0] <= shape.seconds] for name in limits}
    grown = {name: leak.growth(during[name], limit) for name, limit in limits.items()}
    found = tuple(_no_leak(name, growth) for name, growth in grown.items())
    plots = [_curve(setting, seen, name, limit.unit) for name, limit in limits.items()]
    return _outcome(setting, "soak", shape, results, p99=0.5, more=(*found, *books), plots=plots)


def _process(pid: int) -> dict[str, Gauge]:
    process = psutil.Process(pid)

    def gauge(read: Callable[[], float]) -> Gauge:
        async def look() -> float:
            return read()

        return look

    return {
        "memory": gauge(lambda: float(process.memory_info().rss) / 1e6),
        "files": gauge(lambda: float(process.num_fds())),
        "threads": gauge(lambda: float(process.num_threads())),
    }


def _no_leak(name: str, growth: leak.Growth) -> Check:
    unit = growth.limit.unit
    limit = f"at most {growth.finds:.0f} {unit} an hour, by a line through {growth.seconds / 60:.1f} minutes"
    return Check(f"growth of {name}", f"{growth.per_hour:+.1f} {unit} an hour", limit, not growth.leaks)


def _curve(setting: Setting, seen: Seen, name: str, unit: str) -> Path:
    return curves(setting.place / f"soak-{name}.png", "seconds", unit, {name: seen.curves[name]})


async def _api(setting: Setting, shape: Shape, name: str, *, p99: float, kept: float = RATE_KEPT) -> Outcome:
    async with standing() as stand:
        results = await stand.traffic(shape)
    return _outcome(setting, name, shape, results, p99=p99, kept=kept)


def _outcome(
    setting: Setting,
    name: str,
    shape: Shape,
    results: Results,
    *,
    p99: float,
    kept: float = RATE_KEPT,
    more: tuple[Check, ...] = (),
    plots: list[Path] | None = None,
) -> Outcome:
    full = shape.points[1][0] + SETTLED_AFTER
    asked, answered = shape.rate(full), results.answered(full, shape.seconds)
    checks = (
        none("errors", results.total.failures),
        at_most("p99 of all routes", results.total.percentile(0.99) * 1000, p99 * 1000, " ms"),
        _rate_kept(asked, answered, kept),
        *more,
    )
    return Outcome(checks, table(results), (rates(setting.place, name, shape, results), *(plots or [])))


def _rate_kept(asked: float, answered: float, kept: float) -> Check:
    """Return a check that this share of the rate was answered. Traffic that ended too soon for a rate fails it."""
    check = at_least(f"answers per second, of {asked:g} requested", answered, asked * kept)
    return replace(check, good=check.good and answered > 0)


def rates(place: Path, name: str, shape: Shape, results: Results) -> Path:
    """Plot requests and answers of each second."""
    series = {
        "asked": [(second.at, shape.rate(second.at)) for second in results.history],
        "answered": [(second.at, second.answers) for second in results.history],
        "failed": [(second.at, second.failures) for second in results.history],
    }
    return curves(place / f"{name}.png", "seconds", "requests a second", series)
