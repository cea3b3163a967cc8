"""The verdict of a rehearsal: each kind of violation fails it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
from rich.console import Console

from actors.commands.chaos.command import show
from actors.commands.chaos.fault_run import FaultRun, longest_pause
from actors.commands.chaos.options import ChaosOptions
from actors.commands.chaos.report import line_of, recoveries, summary
from actors.commands.chaos.result import RehearsalResult
from actors.commands.chaos.schedule import Skipped
from actors.commands.chaos.verification import crashes_of
from actors.commands.errors import CommandFailed
from actors.commands.rehearsal.verdict import Verdict
from actors.commands.sandbox.email_stub import Ledger

GOOD = Verdict(
    due=100,
    planned=100,
    sent=100,
    retried=3,
    rejected=2,
    unknown=5,
    repeated=4,
    duplicates=0,
    early=0,
    unplanned=0,
    late=0,
    unsent=0,
    refused=0,
    wrongly_failed=0,
    unconfirmed=0,
    unrecorded=0,
    latest=timedelta(minutes=1),
    latest_attempts=2,
    latest_first=timedelta(seconds=50),
)

FAULT_RUN = FaultRun("kill-node", "node-1", 0.0, 0.1, 8.5, 0.4, 90, ())


def result(*fault_runs: FaultRun, verdict: Verdict = GOOD, not_drained: tuple[str, ...] = ()) -> RehearsalResult:
    """The result of a rehearsal with 100 greetings."""
    options = ChaosOptions(2, 100, 1, ("kill-node",))
    skipped = (Skipped("fill-disk", "not root"),)
    return RehearsalResult(options, verdict, fault_runs or (FAULT_RUN,), skipped, 9, 60.0, 104, not_drained=not_drained)


def text(*things: object) -> str:
    """The printed text."""
    console = Console(file=StringIO(), width=150)
    for thing in things:
        console.print(thing)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_rehearsal_without_a_fault_of_heyday_has_passed() -> None:
    """Repeated calls after unknown outcomes are allowed: heyday cannot know the outcome."""
    found = result()

    assert found.good
    assert found.as_json()["passed"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"unplanned": 1},
        {"late": 1},
        {"unsent": 1},
        {"wrongly_failed": 1},
        {"unconfirmed": 1},
        {"early": 1},
        {"duplicates": 1},
        {"unrecorded": 1},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_every_violation_fails_it(wrong: dict[str, int]) -> None:
    """Each figure must be zero."""
    found = result(verdict=replace(GOOD, **wrong))  # type: ignore[arg-type]  # fields by name

    assert not found.good
    assert orjson.loads(orjson.dumps(found.as_json()))["passed"] is False


def test_a_message_that_is_due_to_no_user_of_the_wave_fails_it() -> None:
    """It is a greeting too many, under a key of its own."""
    assert not result(verdict=replace(GOOD, planned=101, sent=101)).good


def test_a_rehearsal_without_a_fault_fails() -> None:
    """Each fault may have met no message: nothing was shown."""
    assert not replace(result(), fault_runs=()).good


def test_a_fault_that_met_nothing_fails_it() -> None:
    """It was asked for and shows nothing, so the rehearsal has not passed."""
    found = replace(result(), met_nothing=(Skipped("purge-queue", "the delivery queue was empty"),))

    assert not found.good
    assert found.as_json()["metNothing"] == [{"name": "purge-queue", "reason": "the delivery queue was empty"}]
    assert re.search(r"^ met nothing +1 +purge-queue", text(summary(found)), re.MULTILINE)


def test_a_crash_of_an_actor_fails_it() -> None:
    """It is a bug, although nothing was lost."""
    assert not replace(result(), crashes=1).good


def test_a_crash_counts_unless_the_node_had_no_memory(tmp_path: Path) -> None:
    """A node that a fault has left no memory may crash, and cannot start a thread."""
    log = tmp_path / "node-1.log"
    frame = '{"filename":"%s","lineno":964,"name":"start"}'
    crash = f'{{"event":"actor_crashed","exception":[{{"exc_type":"%s","exc_value":"","frames":[{frame}]}}]}}'
    threads = "/usr/lib/python3.11/threading.py"
    kinds = [("KeyError", threads), ("RuntimeError", "node.py"), ("MemoryError", "node.py"), ("RuntimeError", threads)]
    log.write_text("\n".join(crash % kind for kind in kinds))

    assert crashes_of(SimpleNamespace(slots=[SimpleNamespace(log=log)])) == 2  # type: ignore[arg-type]  # what it reads


def test_the_json_has_the_figures_of_the_report() -> None:
    """The same word means the same number. Repeated calls and wrong failures are counted apart."""
    found = result(verdict=replace(GOOD, sent=96, unconfirmed=1, refused=2, wrongly_failed=1)).as_json()

    assert (found["accepted"], found["acceptances"]) == (95, 104)
    assert (found["failed"], found["lost"], found["retried"]) == (2, 2, 3)
    assert set(found["faults"][0]) == {"name", "hit", "beganAt", "lasted", "recovered", "pause", "left", "problems"}


def test_a_fault_that_was_not_recovered_from_fails_it() -> None:
    """It fails although every greeting was sent."""
    found = result(FAULT_RUN, replace(FAULT_RUN, recovered=None))

    assert not found.good
    assert "never" in text(recoveries(found))
    assert "NOT RECOVERED" in line_of(found.fault_runs[1])


def test_a_node_that_does_not_end_in_order_fails_it() -> None:
    """This counts during a fault and at the end."""
    stubborn = replace(FAULT_RUN, problems=("node-2 did not end in order",))

    assert not result(stubborn).good
    assert "node-2 did not end in order" in line_of(stubborn)
    assert re.search(r"^ problems +1 +node-2 did not end in order", text(summary(result(stubborn))), re.MULTILINE)
    assert not result(not_drained=("node-3",)).good


def test_the_report_has_the_figures_and_how_long_recovery_took() -> None:
    """The report is readable without the JSON."""
    found = result(FAULT_RUN, replace(FAULT_RUN, recovered=2.0, pause=3.25))

    said = text(recoveries(found), summary(found))

    assert re.search(r"^ kill-node +2 +8\.5 s +3\.2 s", said, re.MULTILINE)
    assert "after 5 unknown outcomes" in said
    for name, figure in {
        "planned": 100,
        "accepted": 100,
        "lost": 0,
        "early": 0,
        "twice": 0,
        "repeated calls": 4,
    }.items():
        assert re.search(rf"^ {name} +{figure} ", said, re.MULTILINE), name


def test_the_longest_pause_is_between_two_acceptances_or_at_either_end() -> None:
    """Only acceptances between the two instants count."""
    ledger = Ledger(keep=10)
    for at in (1_000, 11_000, 12_500, 13_000, 20_000):
        ledger.accept(key=None, email="a", message="b", at=at)

    assert longest_pause(ledger, 10.0, 14.0) == pytest.approx(1.5)
    assert longest_pause(ledger, 10.9, 16.0) == pytest.approx(3.0)
    assert longest_pause(ledger, 14.0, 15.0) == pytest.approx(1.0)


def test_a_verdict_that_cannot_be_written_is_shown(tmp_path: Path) -> None:
    """A rehearsal of an hour is not lost with a disk that is full at its end."""
    shown = StringIO()
    full = replace(result(), options=replace(result().options, json=Path("/dev/full")))

    with pytest.raises(CommandFailed, match=r"^/dev/full: No space left on device$"):
        show(full, tmp_path, Console(file=shown, width=150))

    assert "PASSED" in shown.getvalue()
    assert (tmp_path / "verdict.json").exists()
