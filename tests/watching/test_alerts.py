"""The alerts: their rules are good, each fires when it should and is quiet when it should, and each has its section."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

from tests.docs.test_documents import anchors_of, declared, scraped_name, text_of
from tests.watching.programs import Programs

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "alerts"
RULES, CASES = ALERTS / "heyday.rules.yml", ALERTS / "heyday.rules.test.yml"
RUNBOOK = "docs/OPERATIONAL_RUNBOOK.md"

OF_PROMETHEUS = {"up"}
"""Metrics that are not ours."""


def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def rules() -> list[dict[str, Any]]:
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def name_of(alert: dict[str, Any]) -> str:
    return str(alert["alert"])


def run(*command: str | Path) -> str:
    """What it says, having succeeded."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, cwd=ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules(programs: Programs) -> None:
    """It refuses all of a file for one mistake in it."""
    told = run(programs.promtool, "check", "rules", RULES)

    assert f"{len(rules())} rules found" in told


def test_prometheus_takes_the_example(programs: Programs) -> None:
    """It is there to be copied, and its job has the name that the rules look for."""
    run(programs.promtool, "check", "config", ALERTS / "prometheus.yml")

    jobs = {scrape["job_name"] for scrape in read(ALERTS / "prometheus.yml")["scrape_configs"]}
    assert jobs == {name for rule in rules() for name in re.findall(r'\bjob="(\w+)"', rule["expr"])} == {"heyday"}


def test_alertmanager_takes_the_example(programs: Programs) -> None:
    """It is there to be copied."""
    told = run(programs.amtool, "check-config", ALERTS / "alertmanager.yml")

    assert "SUCCESS" in told


def test_every_case_of_the_alerts_holds(programs: Programs) -> None:
    """Each says which alerts fire, and so that no other does."""
    run(programs.promtool, "test", "rules", CASES)


@pytest.mark.parametrize("alert", alerts(), ids=name_of)
def test_every_alert_has_a_firing_and_a_quiet_case(alert: dict[str, Any]) -> None:
    """An alert that was never seen to fire may never do it; one that was never seen quiet may never stop."""
    cases = [case for case in read(CASES)["tests"] if case["name"].startswith(f"{alert['alert']} ")]

    fires = [
        any(alert["alert"] in sample["labels"] for sample in expected["exp_samples"])
        for case in cases
        for expected in case["promql_expr_test"]
        if re.match(r"\w+ (fires|is quiet) ", case["name"])
    ]
    assert True in fires
    assert any(
        not any(f'"{alert["alert"]}"' in sample["labels"] for sample in case["promql_expr_test"][0]["exp_samples"])
        for case in cases
        if " is quiet " in case["name"]
    )


@pytest.mark.parametrize("alert", alerts(), ids=name_of)
def test_every_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(alert: dict[str, Any]) -> None:
    """Whoever is woken by it needs these four."""
    told = alert["annotations"]
    page, _, anchor = told["runbook_url"].partition("#")

    assert alert["labels"]["severity"] in ("critical", "warning")
    assert told["summary"]
    assert told["description"].endswith(".")
    assert page == RUNBOOK
    assert anchor == alert["alert"].lower()
    assert anchor in anchors_of(ROOT / page)


def test_the_runbook_has_no_section_of_an_alert_that_is_not_there() -> None:
    """Nobody would ever come to read it."""
    part = text_of(RUNBOOK).partition("## Alerts\n")[2].partition("\n## ")[0]

    assert re.findall(r"^### (\w+)", part, re.MULTILINE) == [name_of(alert) for alert in alerts()]


def test_the_rules_use_metrics_that_are_declared_and_no_others() -> None:
    """An alert on a metric that does not exist never fires."""
    names = {scraped_name(metric) for metric in declared()} | OF_PROMETHEUS

    used = {name for rule in rules() for name in re.findall(r"(\w+)\{", rule["expr"])}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in used} - names == set()
    assert len(used) > 15
