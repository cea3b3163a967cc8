"""The workflows of continuous integration: what they run exists, and nobody else decides what they run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


MADE = {"bench": "loadtest.wave", "load": "loadtest", "observe": "loadtest.observe", "simulate": "tests.simulation"}
"""The modules to which targets of the Makefile hand their ARGS."""


def parsed(workflow: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(workflow)
    return found


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for workflow in WORKFLOWS:
        for name, job in parsed(workflow)["jobs"].items():
            yield f"{workflow.stem}.{name}", job


def commands() -> Iterator[str]:
    """Every command line of every step, its continuations joined."""
    for _, job in jobs():
        for step in job["steps"]:
            yield from step.get("run", "").replace("\\\n", " ").splitlines()


def said_by(*command: str) -> str:
    asked = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=True)
    return asked.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_little_and_ends(workflow: Path) -> None:
    """A token that may write is what an attacker wants, and a job that hangs costs hours."""
    found = parsed(workflow)

    assert found["permissions"] in ({"contents": "read"}, {})
    assert found["concurrency"]["group"]
    assert all(job["timeout-minutes"] <= 60 for job in found["jobs"].values())
    assert "pull_request_target" not in found["on"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit(workflow: Path) -> None:
    """A tag can be moved to other code by whoever takes over its repository."""
    used = re.findall(r"uses: (.+)", workflow.read_text(encoding="utf-8"))

    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", action)] == []


def test_no_expression_is_written_into_a_command() -> None:
    """A title or a branch name with a quotation mark would be run; environment variables are not."""
    assert [command for command in commands() if "${{" in command] == []


def test_every_target_and_module_that_is_run_exists_and_has_the_options() -> None:
    """A workflow that runs once a week tells of its mistake a week later."""
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    made: list[str] = []
    lacking: list[str] = []
    for command in commands():
        made += (named := re.findall(r"\bmake (?:-C \S+ )?(\w+)", command))
        by_make = {MADE[target] for target in named if target in MADE}
        modules = by_make or set(re.findall(r"-m ((?:loadtest|tests)[\w.]+)", command))
        for module in modules:
            known = said_by(module, "--help")
            lacking += [f"{module} {one}" for one in re.findall(r"--[a-z-]+", command) if one not in known]

    assert {"lint", "test", "coverage", "bench", "observe", "dashboards"} <= set(made) <= targets
    assert lacking == []


def test_every_file_that_is_named_exists() -> None:
    """The names are written nowhere else in a workflow, so nothing else would notice."""
    text = "\n".join(workflow.read_text(encoding="utf-8") for workflow in WORKFLOWS)
    named = set(re.findall(r"(?<![\w./-])(?:constraints\.txt|pyproject\.toml|CHANGELOG\.md|\.ci/run)(?![\w.])", text))

    assert named == {"constraints.txt", "pyproject.toml", "CHANGELOG.md", ".ci/run"}
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("job", ["ci.lint", "ci.test"])
def test_every_python_that_is_promised_is_tried(job: str) -> None:
    """The lowest is what pyproject.toml promises."""
    matrix = dict(jobs())[job]["strategy"]["matrix"]["python"]

    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert matrix == ["3.11", "3.12", "3.13"]
    assert lowest == f">={matrix[0]}"
