"""Tests of loadtest/guard.py: it finds changes beyond the noise, and reports when it cannot decide."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from loadtest import guard
from loadtest.figures import noise
from loadtest.guard import Figure, Ratios, Verdict, judge, read_baseline, read_runs, write_baseline
from tests.loadtest.conftest import Call

CASE = "RabbitMQ, 1 node, answers at once"


def ratios(rate: float, cpu: float = 1.6, *, noise: float = 0.01) -> Ratios:
    return {CASE: {"rate": Figure(rate, noise), "cpu": Figure(cpu, noise)}}


def run(*rates: float) -> str:
    return json.dumps([{"name": CASE, "ratios": rates, "cpuRatios": [1.6] * len(rates)}])


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (ratios(0.50), Verdict.AS_GOOD),
        (ratios(0.90), Verdict.AS_GOOD),
        (ratios(0.48), Verdict.AS_GOOD),
        (ratios(0.40), Verdict.SLOWER),
        (ratios(0.50, cpu=2.0), Verdict.SLOWER),
        (ratios(0.50, cpu=1.2), Verdict.AS_GOOD),
        (ratios(0.40, noise=0.2), Verdict.UNKNOWN),
        ({}, Verdict.UNKNOWN),
    ],
)
def test_only_what_is_more_than_noise_is_slower(now: Ratios, verdict: Verdict) -> None:
    """A guard that reports noise is ignored, and one that reports nothing is useless."""
    assert judge(ratios(0.50), now) is verdict


def test_what_is_slower_is_said_even_if_something_else_is_unknown() -> None:
    """A case that was not measured must not hide a slower one."""
    then = {**ratios(0.5), "another": ratios(0.5)[CASE]}

    assert judge(then, ratios(0.3)) is Verdict.SLOWER


def test_a_noisier_run_is_allowed_more() -> None:
    """The tolerance follows from what was measured, not from a guess."""
    then = ratios(0.50)

    assert judge(then, ratios(0.45, noise=0.01)) is Verdict.SLOWER
    assert judge(then, ratios(0.45, noise=0.05)) is Verdict.AS_GOOD


def test_the_noise_of_few_rounds_is_not_known() -> None:
    """Two rounds that agree by chance would suggest a false precision."""
    assert math.isinf(noise([0.5, 0.5]))
    assert noise([0.5, 0.5, 0.5]) == 0
    assert noise([0.4, 0.5, 0.6, 0.5, 0.5]) < noise([0.3, 0.4, 0.5, 0.6, 0.7])


def test_a_baseline_is_read_as_it_was_written() -> None:
    """Next week's comparison must use today's figures."""
    measured = read_runs([run(0.5, 0.52), run(0.48, 0.51)])

    assert read_baseline(write_baseline(measured)) == measured
    with pytest.raises(ValueError, match="three rounds"):
        write_baseline(read_runs([run(0.5, 0.5)]))


@pytest.mark.parametrize(("rates", "code"), [((0.5, 0.51, 0.49), 0), ((0.2, 0.21, 0.2), 1), ((0.2, 0.5, 0.9), 2)])
def test_the_exit_code_is_the_verdict(call: Call, tmp_path: Path, rates: tuple[float, ...], code: int) -> None:
    """The workflow reads only the exit code."""
    (tmp_path / "baseline.json").write_text(write_baseline(read_runs([run(0.5, 0.51, 0.49)])))
    (tmp_path / "run.json").write_text(run(*rates))

    done = call(guard.main, str(tmp_path / "run.json"), "--baseline", str(tmp_path / "baseline.json"))

    assert done.code == code
    assert CASE in done.said


def test_runs_without_a_wave_have_no_result(call: Call, tmp_path: Path) -> None:
    """`loadtest.wave --only` with a typing error would write such a file."""
    for name in ("before", "after"):
        (tmp_path / f"{name}.json").write_text("[]")

    done = call(guard.main, str(tmp_path / "after.json"), "--before", str(tmp_path / "before.json"))

    assert done.code == 2


def test_two_versions_are_compared_by_their_runs(call: Call, tmp_path: Path) -> None:
    """Runs that alternate on one machine need no stored baseline."""
    for name, rates in {"before-1": (0.5, 0.51), "before-2": (0.49, 0.5), "after-1": (0.3, 0.31, 0.3)}.items():
        (tmp_path / f"{name}.json").write_text(run(*rates))

    before = [str(tmp_path / f"before-{number}.json") for number in (1, 2)]
    done = call(guard.main, str(tmp_path / "after-1.json"), "--before", *before)

    assert done.code == 1
    assert "slower" in done.said
