"""Tests of load and stress without load: shapes, verdicts, results of locust, and the report."""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from loadtest.__main__ import chosen, listing, main, perform
from loadtest.stress import leak, tools, traffic
from loadtest.stress.boundary import memory_boundary
from loadtest.stress.greetings import Greetings
from loadtest.stress.page import Ran, page, verdict
from loadtest.stress.registry import QUICK, SCENARIOS, SETS
from loadtest.stress.results import Results, Route, Second, read, table
from loadtest.stress.scenario import Check, Outcome, Scenario, Setting, at_least, at_most, none
from loadtest.stress.shapes import Shape, crowd, parse
from loadtest.stress.swarm import swarm
from tests.actors.commands.chaos.test_result import GOOD
from tests.loadtest.conftest import Call

ROOT = Path(__file__).parents[2]
CHAOS: dict[str, object] = {
    **dict.fromkeys(("lost", "twice", "early", "notOnRecord", "actorCrashes"), 0),
    "passed": True,
    "faults": [],
    "notDrained": [],
    "metNothing": [],
    "notRehearsed": [],
    "command": "heyday chaos",
}
"""The verdict of a rehearsal that passed."""

RAMP = Shape(((0, 0), (10, 1_000), (40, 1_000)))


def looks(seconds: int, start: float, per_hour: float, *, noise: float = 0.0, warming: float = 0.0) -> leak.Curve:
    """Return readings per second of a value that grows by `an_hour`, and first by `warming`."""
    chance = random.Random(7)
    warm = seconds / 4
    return [
        (at, start + per_hour * at / 3600 + warming * min(1.0, at / warm) + chance.gauss(0, noise))
        for at in range(seconds)
    ]


@pytest.mark.parametrize(
    ("curve", "leaks"),
    [
        (looks(3_600, 90, 0, noise=1.5), False),
        (looks(3_600, 90, 24, noise=1.5), True),
        (looks(3_600, 90, 6, noise=1.5), False),
        (looks(3_600, 90, 0, noise=1.5, warming=40), False),
        (looks(3_600, 90, 24, noise=1.5, warming=40), True),
        (looks(3_600, 90, -50, noise=1.5), False),
        (looks(120, 90, 0, noise=0.3), False),
        (looks(120, 90, 600, noise=0.3), True),
    ],
    ids=[
        "flat",
        "a leak",
        "less than the limit",
        "warmed up",
        "warmed up, then a leak",
        "falls",
        "short",
        "short, leak",
    ],
)
def test_a_leak_is_found_and_a_flat_curve_passes(curve: leak.Curve, leaks: bool) -> None:
    """A verdict that reports warm caches is ignored, and one that finds nothing is useless."""
    assert leak.growth(curve, leak.MEMORY).leaks is leaks


def test_a_short_run_says_which_leaks_it_would_find() -> None:
    """Two minutes cannot find what an hour finds, and must say so."""
    short, hour = (leak.growth(looks(seconds, 90, 0), leak.MEMORY) for seconds in (120, 3_600))

    assert hour.finds == leak.MEMORY.per_hour
    assert short.finds > 10 * leak.MEMORY.per_hour
    with pytest.raises(ValueError, match="too few"):
        leak.growth(looks(5, 90, 0), leak.MEMORY)


def test_a_ramp_reaches_a_thousand_a_second_within_ten_seconds() -> None:
    """The rates are those of the documents."""
    assert [RAMP.rate(at) for at in (0, 5, 10, 25, 40, 41)] == [0, 500, 1_000, 1_000, 1_000, 0]
    assert RAMP.requests == 5_000 + 30_000
    assert crowd(1_000, each=0.5, within=20, seconds=80).rate(50) == 500


def test_locust_is_told_the_users_of_the_next_second() -> None:
    """locust starts users during that second; with the current number it would be one second late."""
    assert RAMP.tick(0) == (100, 100)
    assert RAMP.tick(9.5) == (1_000, 50)
    assert RAMP.tick(20) == (1_000, 1)
    assert RAMP.tick(40) is None


def test_a_shape_is_understood_as_it_was_written() -> None:
    """locust gets the shape on its command line."""
    assert parse(str(RAMP), RAMP.each) == RAMP
    for wrong in ("0:0", "0,10", "a:b,c:d"):
        with pytest.raises(ValueError, match=r"\S"):
            parse(wrong, 1)


def write_results(place: Path) -> None:
    """Write files as locust does."""
    routes = [
        {"name": "/b", "method": "GET", "num_requests": 4, "num_failures": 1, "response_times": {"10": 3, "900": 1}},
        {"name": "/a", "method": "POST", "num_requests": 96, "num_failures": 0, "response_times": {"20": 96}},
    ]
    (place / "summary.json").write_text(json.dumps(routes))
    (place / "locust_failures.csv").write_text("Method,Name,Error,Occurrences\nGET,/b,CatchResponseError('503'),1\n")
    rows = ["Timestamp,User Count,Name,Total Request Count,Total Failure Count"]
    rows += ["100,0,Aggregated,0,0", "101,5,Aggregated,40,0", "101,5,/b,9,9", "103,5,Aggregated,100,1"]
    (place / "locust_stats_history.csv").write_text("\n".join([*rows, ""]))


def test_what_locust_wrote_is_read(tmp_path: Path) -> None:
    """Rates count each second, unlike locust's means of ten; percentiles cover all answers."""
    write_results(tmp_path)

    results = read(tmp_path / "locust", tmp_path / "summary.json", "WARNING CPU usage above 90%!")

    assert [route.name for route in results.routes] == ["POST /a", "GET /b"]
    assert (results.total.requests, results.total.failures) == (100, 1)
    assert [results.total.percentile(share) for share in (0.03, 0.5, 0.99, 1)] == [0.01, 0.02, 0.02, 0.9]
    assert results.history == (Second(1, 5, 40, 0), Second(3, 5, 30, 0.5))
    assert (results.answered(0, 2), results.failed(2, 9)) == (40, 0.5)
    assert results.failures == {"503": 1}
    assert results.short_of_processor
    assert "| GET /b | 4 | 10, 900, 900 | 1 |" in table(results)
    assert "503 (1)" in table(results)
    assert Route("GET /none", 0, 0, {}).percentile(0.99) == 0


@pytest.fixture
def asked() -> Counter[str]:
    return Counter()


@pytest.fixture
async def api(asked: Counter[str]) -> AsyncIterator[str]:
    """A server that answers like the API, except for messages."""

    async def answer(request: web.Request) -> web.Response:
        route = re.sub(r"/users/[\w-]+", "/users/{id}", request.path)
        asked[f"{request.method} {route}"] += 1
        if route.endswith("messages"):
            return web.json_response({}, status=503)
        if route.endswith(":import"):
            return web.Response(text='{"line":1,"status":201}\n' * (await request.text()).count("\n"))
        if request.method == "DELETE":
            return web.Response(status=204)
        status = 201 if request.method == "POST" else 200
        return web.json_response({"id": f"made-{asked.total()}"}, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_locust_plays_the_traffic_and_what_it_measured_comes_back(
    api: str, asked: Counter[str], tmp_path: Path
) -> None:
    """Every kind of request is made and counted, and a refusal is a failure with its status."""
    results = await swarm(api, crowd(20, each=20, within=1, seconds=5), tmp_path, known=["known-1", "known-2"])

    assert results.total.requests == asked.total() > 300
    assert {"POST /api/v1/users", "PATCH /api/v1/users/{id}", "DELETE /api/v1/users/{id}"} <= set(asked)
    assert {"POST /api/v1/users:import", "GET /api/v1/preview", "GET /api/v1/forecast"} <= set(asked)
    assert {route.name for route in results.routes if route.failures} == {
        "GET /api/v1/messages?status=",
        "GET /api/v1/users/{id}/messages",
    }
    assert set(results.failures) == {"503"}
    assert results.total.failures == asked["GET /api/v1/messages"] + asked["GET /api/v1/users/{id}/messages"]
    assert max(second.users for second in results.history) == 20


async def test_locust_that_fails_is_no_result(tmp_path: Path) -> None:
    """Missing figures must not look good."""
    with pytest.raises(RuntimeError, match="locust ended with"):
        await swarm("http://127.0.0.1:1", Shape(((0, 1),)), tmp_path, known=["a"])


@pytest.mark.parametrize(("mebibytes", "dies"), [(100, True), (400, False)])
async def test_a_process_cannot_have_more_memory_than_its_limit(mebibytes: int, dies: bool) -> None:
    """A limit without effect would pass every node."""
    wants = "import os; block = bytearray(os.urandom(1 << 20)) * 200"

    with memory_boundary(mebibytes) as boundary:
        process = await asyncio.create_subprocess_exec(
            *boundary.under, sys.executable, "-c", wants, stderr=asyncio.subprocess.DEVNULL
        )
        code = await process.wait()

    assert (code != 0) is dies


def outcome(*checks: Check) -> Outcome:
    return Outcome(checks, "| a | table |")


def test_one_limit_that_is_not_kept_fails_a_scenario() -> None:
    """A scenario without checks fails, too."""
    assert outcome(none("errors", 0), at_most("p99", 10, 20), at_least("rate", 99, 95)).good
    assert not outcome(none("errors", 0), none("lost", 1)).good
    assert not outcome(at_most("p99", 21, 20)).good
    assert not outcome(at_least("rate", 94, 95)).good
    assert not outcome().good


def test_the_report_says_what_was_found_beside_each_limit(tmp_path: Path) -> None:
    """The reader did not see the run."""
    bad = Ran(
        SCENARIOS["soak"],
        Outcome((none("lost", 0), at_most("p99", 900, 500, " ms")), "| a | table |", (tmp_path / "soak.png",)),
        61.2,
    )

    text = page([Ran(SCENARIOS["ramp"], outcome(none("errors", 0)), 45), bad], tmp_path, command="python -m loadtest x")

    assert "`python -m loadtest x`" in text
    assert "| [ramp](#ramp) | passed | 45 |" in text
    assert "| [soak](#soak) | **failed** | 61 |" in text
    assert "| p99 | 900 ms | at most 500 ms | **no** |" in text
    assert "![soak](soak.png)" in text
    assert "| a | table |" in text


async def test_a_scenario_that_breaks_has_failed_and_the_next_goes_on(tmp_path: Path) -> None:
    """One error must not end an hour of measurements, and it must be reported."""

    async def breaks(_setting: Setting) -> Outcome:
        raise RuntimeError("no server")

    ran = await perform(Scenario("x", "breaks", 1, breaks), tmp_path, None)

    assert verdict(ran.outcome) == "**failed**"
    assert "no server" in ran.outcome.text


def chaos_says(code: int, found: dict[str, object] | None) -> Callable[..., Awaitable[tuple[int, str]]]:
    """Stand in for `heyday chaos`, which writes this verdict."""

    async def run(_module: str, words: Sequence[str]) -> tuple[int, str]:
        if found is not None:
            await asyncio.to_thread(Path(words[-1]).write_text, json.dumps(found))
        return code, "what it said"

    return run


async def test_a_verdict_of_an_earlier_run_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rehearsal that could not start would pass, because the one before did."""
    (tmp_path / "failures.json").write_text(json.dumps(CHAOS))
    monkeypatch.setattr(tools, "_run", chaos_says(1, None))

    found = await tools.failures(Setting(tmp_path, 0.0))

    assert not found.good
    assert "what it said" in found.text


async def test_a_fault_that_was_not_recovered_from_has_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even 0.0 s. Its problems are named."""
    fault = {"name": "kill-redis", "recovered": None, "pause": 3.0, "hit": "away", "problems": ["node-1 hung"]}
    monkeypatch.setattr(tools, "_run", chaos_says(1, CHAOS | {"passed": False, "faults": [fault]}))

    found = await tools.failures(Setting(tmp_path, 0.0))

    assert not found.good
    assert "| kill-redis | never | 3.0 | away; node-1 hung |" in found.text


async def test_the_minutes_that_are_asked_for_are_those_of_the_traffic(tmp_path: Path) -> None:
    """CI shortens only the long scenarios."""
    asked: list[float] = []

    async def note(setting: Setting) -> Outcome:
        asked.append(setting.minutes)
        return outcome(none("errors", 0))

    scenario = Scenario("x", "notes", 61, note, traffic=60)
    for minutes in (None, 2.0):
        await perform(scenario, tmp_path, minutes)

    assert asked == [60, 2]
    assert (scenario.length(None), scenario.length(2)) == (61, 3)
    assert SCENARIOS["ramp"].length(2) == SCENARIOS["ramp"].takes


def test_traffic_that_is_too_short_to_measure_a_rate_has_not_passed(tmp_path: Path) -> None:
    """No answer of no request would otherwise be all that was asked."""
    shape = crowd(10, each=1, within=5, seconds=6)

    found = traffic._outcome(Setting(tmp_path, 0.1), "x", shape, Results((), (), {}, short_of_processor=False), p99=1)

    assert [check.what for check in found.checks if not check.good] == ["answers per second, of 0 requested"]


def test_minutes_that_are_not_positive_are_refused(call: Call) -> None:
    """They would be taken for the length of the scenario, or measure nothing."""
    done = call(main, "ramp", "--minutes", "0")

    assert (done.code, done.said) == (2, "")
    assert "--minutes must be greater than 0" in done.complaints


async def test_a_greeting_that_is_not_on_record_fails_a_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    """The email service accepted what heyday does not know."""
    greetings = Greetings(Mock(), "", 0)
    monkeypatch.setattr(greetings, "gone", AsyncMock())
    monkeypatch.setattr(greetings, "verdict", AsyncMock(return_value=replace(GOOD, unrecorded=1)))

    assert [check.what for check in await greetings.checks() if not check.good] == ["accepted and not on record"]


def test_names_and_sets_are_chosen_each_once() -> None:
    """A scenario that is named twice runs once."""
    assert [one.name for one in chosen(["ramp", "quick"])] == ["ramp", *(name for name in QUICK if name != "ramp")]
    assert set(SETS["all"]) == set(SCENARIOS)
    with pytest.raises(SystemExit, match="unknown: nonsense"):
        chosen(["ramp", "nonsense"])


def test_without_a_name_it_says_what_there_is() -> None:
    """A new user starts with the list."""
    done = subprocess.run(
        [sys.executable, "-m", "loadtest", "--minutes", "2"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == listing(2)
    assert all(f"  {name}" in done.stdout for name in (*SCENARIOS, *SETS))


def test_the_page_lists_every_scenario_with_its_length() -> None:
    """A new scenario must be on the page."""
    text = (ROOT / "docs" / "how-to" / "load_and_stress.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (\d+) \|", text, re.MULTILINE))

    assert rows == {one.name: f"{one.takes:.0f}" for one in SCENARIOS.values()}
    assert all(f"`{name}`" in text for name in SETS)


def test_the_page_tells_the_limits_of_a_leak() -> None:
    """The page must state the thresholds."""
    text = (ROOT / "docs" / "how-to" / "load_and_stress.md").read_text(encoding="utf-8")

    for limit in (leak.MEMORY, leak.FILES, leak.THREADS):
        assert f"{limit.per_hour:g} {limit.unit} an hour" in text


def test_results_without_an_answer_have_no_rate() -> None:
    """The rate must not divide by zero."""
    assert Results((), (), {}, short_of_processor=False).answered(0, 1) == 0
