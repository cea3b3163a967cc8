"""Checks the CI workflows: their commands exist, and their actions are pinned."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.docs.commands import help_of_module

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


MADE = {"bench": "loadtest.wave", "load": "loadtest", "observe": "loadtest.observe", "simulate": "tests.simulation"}
"""The modules that get the ARGS of a Makefile target."""


@cache
def parsed(workflow: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(workflow)
    return found


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for workflow in WORKFLOWS:
        for name, job in parsed(workflow)["jobs"].items():
            yield f"{workflow.stem}.{name}", job


def commands() -> Iterator[str]:
    """Yield every command line of every step, with continuations joined."""
    for _, job in jobs():
        for step in job["steps"]:
            yield from step.get("run", "").replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_little_and_ends(workflow: Path) -> None:
    """An attacker wants a token that may write, and a hung job costs hours."""
    found = parsed(workflow)

    assert found["permissions"] in ({"contents": "read"}, {})
    assert found["concurrency"]["group"]
    assert all(job["timeout-minutes"] <= 90 for job in found["jobs"].values())
    assert "pull_request_target" not in found["on"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit(workflow: Path) -> None:
    """An attacker who takes over a repository can move its tags."""
    used = re.findall(r"uses: (.+)", workflow.read_text(encoding="utf-8"))

    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", action)] == []


def test_a_job_that_may_write_installs_no_python_package_without_its_hash() -> None:
    """The targets of make install development packages, and any of them could use the token of the job."""
    writers = {name: job for name, job in jobs() if "write" in (job.get("permissions") or {}).values()}
    lines = [
        line
        for job in writers.values()
        for step in job["steps"]
        for line in step.get("run", "").replace("\\\n", " ").splitlines()
    ]

    assert "release.release" in writers
    assert [line for line in lines if re.search(r"\bmake\b|\.ci/run|\buvx?\b|\bpipx\b", line)] == []
    installs = [line for line in lines if re.search(r"\bpip\"? (install|wheel)\b", line)]
    assert len(installs) == 2
    assert [line for line in installs if "--require-hashes" not in line and "--no-deps" not in line] == []


def test_no_expression_is_written_into_a_command() -> None:
    """A title or branch name with a quote would be executed; environment variables are not."""
    assert [command for command in commands() if "${{" in command] == []


def test_every_target_and_module_that_is_run_exists_and_has_the_options() -> None:
    """A weekly workflow shows its mistake a week later."""
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    made: list[str] = []
    lacking: list[str] = []
    for command in commands():
        made += (named := re.findall(r"\bmake (?:-C \S+ )?(\w+)", command))
        by_make = {MADE[target] for target in named if target in MADE}
        modules = by_make or set(re.findall(r"-m ((?:loadtest|tests)[\w.]+)", command))
        for module in modules:
            known = help_of_module(module)
            lacking += [f"{module} {one}" for one in re.findall(r"--[a-z-]+", command) if one not in known]

    assert {"lint", "test", "coverage", "bench", "observe", "dashboards"} <= set(made) <= targets
    assert lacking == []


def test_every_file_that_is_named_exists() -> None:
    """No other check would find a wrong name in a workflow."""
    text = "\n".join(workflow.read_text(encoding="utf-8") for workflow in WORKFLOWS)
    named = set(re.findall(r"(?<![\w./-])(?:constraints\.txt|pyproject\.toml|CHANGELOG\.md|\.ci/run)(?![\w.])", text))

    assert named == {"constraints.txt", "pyproject.toml", "CHANGELOG.md", ".ci/run"}
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("job", ["ci.lint", "ci.test"])
def test_every_python_that_is_promised_is_tried(job: str) -> None:
    """The lowest version is that of pyproject.toml."""
    matrix = dict(jobs())[job]["strategy"]["matrix"]["python"]

    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert matrix == ["3.11", "3.12", "3.13"]
    assert lowest == f">={matrix[0]}"
