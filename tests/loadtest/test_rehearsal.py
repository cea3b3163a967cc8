"""The rehearsal of the runbook: it knows every alert, and its commands are those of the page."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest

from loadtest.rehearsal import __main__ as rehearsal
from loadtest.rehearsal.cases import CASES, NOT_REHEARSED, Case, names
from loadtest.rehearsal.runbook import RULES, alerts, first_look, section, shorter
from tests.watching.programs import find_programs
from tests.watching.test_alerts import run


def test_every_alert_is_rehearsed_once_or_named_with_a_reason() -> None:
    """A new rule must not be forgotten here."""
    found = Counter([*(alert for case in CASES for alert in names(case)), *NOT_REHEARSED])

    assert found == Counter(alerts())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alerts[0])
def test_its_commands_are_on_the_page(case: Case) -> None:
    """A person reads the page, so the page is rehearsed."""
    texts = [section(alert) for alert in names(case)]

    assert [command for command in case.do if not any(command in text for text in texts)] == []
    assert sum(command.count("…") for command in case.do) == len(case.values())


def test_the_first_look_is_read_from_the_page() -> None:
    assert first_look("MessagesFailing") == ["heyday redrive --status failed --dry-run"]
    assert first_look("PlanningBehind") == ["heyday call POST /api/v1/jobs/daily:run", "heyday call /health/detailed"]
    assert first_look("SendingHeldForLong") == ["heyday holds"]
    with pytest.raises(LookupError):
        section("Nothing")


def test_only_durations_of_the_rules_are_shorter(tmp_path: Path) -> None:
    """Thresholds are figures of heyday, which runs at its own speed."""
    rules = RULES.read_text(encoding="utf-8")
    made = shorter(rules, 60)
    (tmp_path / "rules.yml").write_text(made, encoding="utf-8")

    durations = r"(?<=\[)\w+(?=\])|(?<=for: )\w+|(?<=\} < )\S+(?=\))"
    assert re.sub(durations, "", made) == re.sub(durations, "", rules)
    assert "for: 60000ms" in made
    assert 'time() - process_start_time_seconds{job="heyday"} < 60)' in made
    assert 'rate(message_lateness_seconds_count{job="heyday"}[5000ms])' in made
    assert min(map(int, re.findall(r"\[(\d+)ms\]", made))) == 2_000
    run(find_programs().promtool, "check", "rules", tmp_path / "rules.yml")


async def test_a_rehearsal_of_nothing_has_not_passed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An alert that cannot be caused is named, and nothing was shown."""
    monkeypatch.setattr(rehearsal, "scene", lambda *_, **__: nullcontext())
    monkeypatch.setattr(rehearsal, "be_cancelled_by_signals", lambda: None)
    alert = next(iter(NOT_REHEARSED))

    assert not await rehearsal.run(tmp_path, [alert], 60.0, tmp_path)
    assert f"| {alert} | not rehearsed: " in capsys.readouterr().out
