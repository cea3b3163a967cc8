"""Runs the tools for planning, backlog and growth, and checks their calculations."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from loadtest.backlog import PARTS, rates_of_parts, when
from loadtest.hot_queries import HOT
from loadtest.planning import wrong
from loadtest.probe import Answers
from loadtest.stress.scenario import at_most
from loadtest.watch import Seen, watching
from service.ports import Unavailable


async def measured(module: str, *words: str) -> str:
    """Run a tool and return its output; exit code 0 means no greeting lost, twice or early."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"loadtest.{module}", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()[-2_000:]
    return said.decode()


@pytest.mark.nightly
async def test_planning_is_measured_with_two_nodes(tmp_path: Path) -> None:
    """Every birthday is planned once, and the API answers meanwhile."""
    words = ["--users", "600", "--together", "200", "--nodes", "2", "--quiet", "0.3", "--json", str(tmp_path / "f")]

    said = await measured("planning", *words, "--replan")

    figures = json.loads((tmp_path / "f").read_text())
    assert figures["messages"] == 200
    assert figures["apiErrors"] == figures["apiErrorsReplan"] == figures["missing"] == figures["twice"] == 0
    assert figures["replanned"] == 200
    assert figures["apiP99During"] > 0
    assert "| messages planned | 200 |" in said


@pytest.mark.parametrize("worse", [{"missing": 1}, {"twice": 1}, {"replanned": 199}])
def test_a_user_who_is_not_planned_as_the_rule_says_fails_the_planning(worse: dict[str, float]) -> None:
    """A change of the rule that moves nothing has not been measured."""
    good: dict[str, float] = {"together": 200, "missing": 0, "twice": 0}

    assert not wrong(good)
    assert not wrong(good | {"replanned": 200})
    assert wrong(good | worse)


@pytest.mark.nightly
async def test_a_backlog_is_measured(tmp_path: Path) -> None:
    """The plots use its curves."""
    words = ["--messages", "200", "--stream", "--json", str(tmp_path / "f"), "--plots", str(tmp_path)]

    said = await measured("backlog", *words)

    found = json.loads((tmp_path / "f").read_text())
    assert found["curves"]["accepted"][-1][1] == 200
    assert 10 < found["figures"]["memoryMegabytes"] < 200
    for curve in ("accepted", "memory", "queue", "stream"):
        assert (tmp_path / f"backlog-{curve}.png").read_bytes().startswith(b"\x89PNG")
    assert "| lost, twice, early | 0, 0, 0 |" in said


@pytest.mark.nightly
async def test_later_messages_wait_only_for_earlier_ones(tmp_path: Path) -> None:
    """The report shows the lateness of each group: another occasion, and later instants."""
    words = ["--messages", "300", "--others", "0.2", "--later", "0.2", "--rate", "200"]

    said = await measured("backlog", *words, "--stream", "--json", str(tmp_path / "f"))

    figures = json.loads((tmp_path / "f").read_text())["figures"]
    assert figures["mostLate_later"] < figures["mostLate_birthday"]
    assert figures["p50Late_anniversary"] > 60
    assert figures["overtakenSeconds"] < 30
    assert 10 < figures["onTheirWay"] <= 300
    assert "| lateness of later" in said


@pytest.mark.nightly
async def test_a_node_with_more_memory_than_is_allowed_fails_the_backlog() -> None:
    """The peak counts, also between two readings."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest.backlog", "--messages", "50", "--stream", "--most-memory", "10",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, complaints = await process.communicate()

    assert process.returncode == 1
    assert "more than 10" in complaints.decode()


async def test_a_server_too_busy_to_answer_leaves_a_gap_in_a_curve() -> None:
    """One late answer must not end a long measurement."""
    answers = iter([None, 4.0, None])
    asked_thrice = asyncio.Event()

    async def depth() -> float:
        value = next(answers, 5.0)
        if value == 5.0:
            asked_thrice.set()
        if value is None:
            raise Unavailable("rabbitmq", "no answer within 5 s")
        return value

    async with asyncio.timeout(60), watching({"queue": depth}, every=0.0) as seen:
        await asked_thrice.wait()

    assert [value for _, value in seen.curves["queue"][:2]] == [4.0, 5.0]


def test_a_gauge_that_was_never_read_keeps_no_limit() -> None:
    """A server that did not answer would otherwise have had an empty queue."""
    assert not at_most("bundles in the queue", Seen({"queue": []}).most("queue"), 100).good


@pytest.mark.nightly
async def test_growth_is_measured_and_every_hot_query_explained(tmp_path: Path) -> None:
    """A listed query that cannot run would be missing in the report."""
    words = ["--sizes", "100", "300", "--greetings", "50", "--stream", "--plots", str(tmp_path)]

    said = await measured("growth", *words, "--explain", str(tmp_path / "plans.md"))

    assert "\n| 100 | " in said
    assert "\n| 300 | " in said
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    plans = (tmp_path / "plans.md").read_text()
    assert plans.count("\n## ") == plans.count("Execution Time") == len(HOT)


def test_the_rate_of_each_part_is_that_of_its_own_time() -> None:
    """A backlog that becomes slower shows in its last part, wherever the readings are."""
    curve = [(0.0, 0.0), (1.0, 0.0), (2.0, 500.0), (4.0, 1000.0)]

    first, *_, last = rates_of_parts(curve, 1000, PARTS)

    assert when(curve, 750) == 3.0
    assert first == pytest.approx(500, rel=0.01)
    assert last == pytest.approx(250)
    with pytest.raises(ValueError, match="ends before"):
        when(curve, 1001)


def test_one_slow_answer_in_fifty_is_what_the_p99_shows() -> None:
    """An average would hide it."""
    assert Answers([0.01] * 49 + [0.5]).p99 > 0.2
    assert Answers([0.5]).p99 == 0.5
    assert Answers().p99 == 0.0
