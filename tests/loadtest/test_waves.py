"""Runs one small wave with each tool, and checks the calculations from the figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from unittest.mock import AsyncMock

import pytest

from loadtest import bare, growth, node_wave, report, watchers, wave
from loadtest.bench import Bench, bench
from loadtest.cases import ACTORS, CALLS_OF_A_NODE, NODES, Case, matrix
from loadtest.figures import Round
from loadtest.wave import faults
from tests.loadtest.conftest import Call

SMALL = Case(greetings=60)

FIGURES: Round = {
    "bare": {"perSecond": 1000.0, "nodeMicroseconds": 80.0},
    "heyday": {
        "perSecond": 600.0, "nodeMicroseconds": 120.0, "firstCallSeconds": 0.05, "lastCallSeconds": 1.2,
        "p50LatenessSeconds": 0.5, "p99LatenessSeconds": 1.1, "memoryMegabytes": 80.0, "postgresMicroseconds": 90.0,
        "redisMicroseconds": 5.0, "evenRate": 500.0, "mostInASecond": 510.0, "lost": 0.0, "twice": 0.0, "early": 0.0,
    },
}  # fmt: skip


@pytest.fixture
async def small_bench() -> AsyncIterator[Bench]:
    async with bench(rabbitmq=False) as running:
        yield running


@pytest.mark.nightly
async def test_the_same_wave_is_measured_bare_and_through_nodes(
    small_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs twice, because a second wave must start clean."""
    monkeypatch.setattr(node_wave, "READY_IN", 1.0)
    one, another = replace(SMALL, actors=1, stream=True), replace(SMALL, nodes=2, latency=0.01, stream=True)

    figures_of_bare = await bare.wave(small_bench, replace(SMALL, error_rate=0.1))
    uncounted = replace(SMALL, metrics=False, stream=True)
    heydays = [await node_wave.wave(small_bench, case) for case in (one, another, uncounted)]

    assert figures_of_bare["perSecond"] > 0
    assert figures_of_bare["nodeMicroseconds"] > 0
    for figures in heydays:
        assert 0 <= figures["firstCallSeconds"] <= figures["lastCallSeconds"]
        assert 0 <= figures["p50LatenessSeconds"] <= figures["p99LatenessSeconds"]
        assert figures["memoryMegabytes"] > 10
        assert figures["postgresMicroseconds"] > 0
        assert figures["emailServiceMicroseconds"] >= 0  # a small wave may take less than a tick
        assert (figures["lost"], figures["twice"], figures["early"]) == (0, 0, 0)


def test_the_matrix_has_every_kind_of_wave_once() -> None:
    """A kind of wave that is missing in the table is not watched."""
    cases = matrix(10_000)

    assert len({case.name for case in cases}) == len(cases)
    for stream in (False, True):
        for nodes in NODES:
            found = [case for case in cases if (case.stream, case.nodes) == (stream, nodes) and case.actors is None]
            assert {(case.latency, case.error_rate) for case in found} == {(0, 0), (0.05, 0), (0, 0.1)}
    assert {case.actors for case in cases} == {None, *ACTORS}
    assert {case.nodes for case in cases if case.rate} == set(NODES)
    # Nodes that share one node's concurrent calls cannot show their effect.
    assert {case.nodes: case.in_flight for case in cases if case.calls} == {n: n * CALLS_OF_A_NODE for n in NODES}


def test_what_must_never_be_is_said() -> None:
    """A fast wave with a lost greeting must fail."""
    rated = replace(SMALL, rate=500.0)
    lossy = {**FIGURES, "heyday": FIGURES["heyday"] | {"lost": 2.0, "evenRate": 530.0}}

    assert faults([(rated, [FIGURES])]) == []
    assert faults([(rated, [lossy])]) == [f"{rated.name}: 2 lost", f"{rated.name}: the rate is off by +6.0%"]


def test_a_pattern_that_matches_no_wave_is_refused(call: Call) -> None:
    """Nothing would be measured, and nothing would be wrong."""
    done = call(wave.main, "--matrix", "--only", "no such wave")

    assert done.code == 2
    assert "no kind of wave matches --only here" in done.complaints


@pytest.mark.parametrize(
    ("tool", "figures"),
    [(growth, ([defaultdict(float, early=1.0)], "")), (watchers, defaultdict(float, twiceWatched=1.0))],
    ids=["growth", "watchers"],
)
def test_a_tool_that_measures_waves_fails_if_a_greeting_was_wrong(
    call: Call, monkeypatch: pytest.MonkeyPatch, tool: ModuleType, figures: object
) -> None:
    """Its table may be read by no person."""
    monkeypatch.setattr(tool, "measure", AsyncMock(return_value=figures))

    assert call(tool.main).code == 1


def test_a_second_is_counted_wherever_it_begins() -> None:
    """A rate that holds on average may be exceeded in a burst."""
    assert node_wave.most_in_a_second([0.0, 0.5, 0.9, 1.0, 1.1, 3.0]) == 4


def test_the_report_has_a_row_and_a_bar_for_each_case(tmp_path: Path) -> None:
    """A figure that was not measured is a dash, such as RabbitMQ's without RabbitMQ."""
    measured = [(SMALL, [FIGURES, FIGURES]), (replace(SMALL, stream=True, rate=500.0), [FIGURES, FIGURES])]

    table = report.table(measured)
    drawn = report.plots(measured, tmp_path / "plots")

    assert "| RabbitMQ, 1 node, answers at once | 1000, 600 | 0.60 | 0.050, 1.200 |" in table
    assert "90, 5, –" in table
    assert "| 500/s, 1 node(s) | 500.0 | +0.00% | 510 |" in table
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in drawn)
