"""The alerts: Prometheus accepts the rules, each fires and is quiet when it should, and has a runbook section."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import ProcessCollector

from tests.docs.test_documents import anchors_of, declared, scraped_name, text_of
from tests.watching.programs import Programs
from tests.yaml_files import read_yaml

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "alerts"
RULES, CASES = ALERTS / "heyday.rules.yml", ALERTS / "heyday.rules.test.yml"
SERVERS, SERVERS_CASES = ALERTS / "servers.rules.yml", ALERTS / "servers.rules.test.yml"
RUNBOOK = "docs/OPERATIONAL_RUNBOOK.md"
REPOSITORY = "https://github.com/OWNER/heyday/blob/main/"

QUICK = {"GOMAXPROCS": "1", "GOGC": "400"}
"""Go collects garbage less often, and on one core: the cases take half the processor time."""

OF_PROMETHEUS = {"up", "prometheus_target_scrape_pool_targets"}
"""Metrics that Prometheus itself provides."""

EXPORTERS = {
    "heyday_backup_completed_timestamp_seconds": "host-exporter",
    "node_filesystem_avail_bytes": "host-exporter",
    "node_filesystem_size_bytes": "host-exporter",
    "probe_ssl_earliest_cert_expiry": "blackbox-exporter",
    "probe_success": "blackbox-exporter",
}
"""The service of the production stack that exports each metric of `servers.rules.yml`."""


@cache
def read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_yaml(file)
    return content


def rules(*files: Path) -> list[dict[str, Any]]:
    return [rule for file in files or (RULES,) for group in read(file)["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules(RULES, SERVERS) if "alert" in rule]


def name_of(alert: dict[str, Any]) -> str:
    return str(alert["alert"])


def run(*command: str | Path) -> str:
    """Run a command that must succeed, and return its output."""
    environment = os.environ | QUICK
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False, cwd=ALERTS, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_the_rules(programs: Programs) -> None:
    """One mistake makes Prometheus refuse the whole file."""
    for file in (RULES, SERVERS):
        told = run(programs.promtool, "check", "rules", file)

        assert f"{len(rules(file))} rules found" in told


def test_prometheus_accepts_the_example(programs: Programs) -> None:
    """Readers copy it, and the rules need the name of its job."""
    run(programs.promtool, "check", "config", ALERTS / "prometheus.yml")

    jobs = {scrape["job_name"] for scrape in read(ALERTS / "prometheus.yml")["scrape_configs"]}
    assert jobs == {name for rule in rules() for name in re.findall(r'\bjob="(\w+)"', rule["expr"])} == {"heyday"}


def test_alertmanager_accepts_the_example(programs: Programs) -> None:
    """Readers copy it."""
    told = run(programs.amtool, "check-config", ALERTS / "alertmanager.yml")

    assert "SUCCESS" in told


def test_every_case_of_the_alerts_holds(programs: Programs) -> None:
    """Each case lists the alerts that fire, and no other may fire."""
    run(programs.promtool, "test", "rules", CASES, SERVERS_CASES)


def test_watchdog_always_fires_and_goes_to_a_receiver_of_its_own() -> None:
    """It pages no person here: a service outside notices when it stops."""
    (watchdog,) = [one for one in alerts() if name_of(one) == "Watchdog"]
    route = read(ALERTS / "alertmanager.yml")["route"]["routes"][0]

    assert (watchdog["expr"], watchdog["labels"]["severity"]) == ("vector(1)", "none")
    assert route["matchers"] == ['alertname = "Watchdog"']
    assert route["receiver"] in {one["name"] for one in read(ALERTS / "alertmanager.yml")["receivers"]}


@pytest.mark.parametrize("alert", [one for one in alerts() if name_of(one) != "Watchdog"], ids=name_of)
def test_every_alert_has_a_firing_and_a_quiet_case(alert: dict[str, Any]) -> None:
    """An alert that was never seen to fire may never fire; one that was never seen quiet may never stop."""
    every = [*read(CASES)["tests"], *read(SERVERS_CASES)["tests"]]
    cases = [case for case in every if case["name"].startswith(f"{alert['alert']} ")]

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
def test_every_alert_has_severity_summary_description_and_runbook(alert: dict[str, Any]) -> None:
    """The person who is called needs these four."""
    told = alert["annotations"]
    page, _, anchor = told["runbook_url"].partition("#")

    assert alert["labels"]["severity"] in ("critical", "warning", "none")
    assert told["summary"]
    assert told["description"].endswith(".")
    # Pager and mail show the link alone, so a path of the repository leads nowhere.
    assert page == REPOSITORY + RUNBOOK
    assert anchor == alert["alert"].lower()
    assert anchor in anchors_of(ROOT / RUNBOOK)


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    """No alert would ever lead to it."""
    part = text_of(RUNBOOK).partition("## Alerts\n")[2].partition("\n## ")[0]

    assert re.findall(r"^### (\w+)", part, re.MULTILINE) == [name_of(alert) for alert in alerts()]


def test_the_production_stack_exports_and_scrapes_what_the_alerts_about_servers_use() -> None:
    """An alert on a metric that is not scraped never fires."""
    stack, scrapes = read(ROOT / "docker-compose.prod.yml")["services"], read(ROOT / "deploy/prometheus/swarm.yml")
    asked = [name for one in scrapes["scrape_configs"] for name in re.findall(r"[a-z]+-exporter\b", str(one))]
    expressions = [re.sub(r'"[^"]*"', "", rule["expr"]) for rule in rules(SERVERS)]
    used = {name for one in expressions for name in re.findall(r"\b[a-z]\w*_\w+\b(?!\(|[!=]~)", one)}

    assert used - OF_PROMETHEUS == EXPORTERS.keys()
    assert set(asked) == set(EXPORTERS.values()) <= stack.keys()


def test_an_alert_tells_of_each_job_that_prometheus_does_not_reach() -> None:
    """The alerts that need a job are quiet while it is away. Alerts about nodes tell of the job heyday."""
    (alert,) = [one for one in alerts() if name_of(one) == "JobNotScraped"]
    answering, found = (set(names.split("|")) for names in re.findall(r'job=~"([^"]+)"', alert["expr"]))

    swarm, compose = (
        {one["job_name"] for one in read(ROOT / "deploy" / "prometheus" / file)["scrape_configs"]}
        for file in ("swarm.yml", "prometheus.yml")
    )
    assert answering == found == swarm - {"heyday"}
    assert {"prometheus"} < compose - {"heyday"} <= found  # its own job counts the targets of the others


def test_the_production_stack_exports_the_time_of_the_last_backup() -> None:
    """The exporter runs where the backups are, and reads the folder into which they are written."""
    stack = read(ROOT / "docker-compose.prod.yml")["services"]
    script = (ROOT / "deploy/postgres/backup.sh").read_text(encoding="utf-8")

    assert stack["backup"]["volumes"] == ["backup:/backup"]
    assert "backup:/backup:ro" in stack["host-exporter"]["volumes"]
    assert "--collector.textfile.directory=/backup" in stack["host-exporter"]["command"]
    assert stack["host-exporter"]["deploy"]["mode"] == "global"
    assert "mv /backup/.heyday_backup.prom /backup/heyday_backup.prom" in script


def test_the_rules_use_metrics_that_are_declared_and_no_others() -> None:
    """An alert on a metric that does not exist never fires."""
    of_the_process = {metric.name for metric in ProcessCollector(registry=None).collect()}
    names = {scraped_name(metric) for metric in declared()} | of_the_process | OF_PROMETHEUS

    used = {name for rule in rules() for name in re.findall(r"(\w+)\{", rule["expr"])}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in used} - names == set()
    assert len(used) > 15
