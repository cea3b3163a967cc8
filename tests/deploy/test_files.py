"""What ships is held to what heyday is: settings that exist, versions that are named, processes that are not root."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

from service.adapters.rabbitmq.topology import DEAD, DELIVERY

ROOT = Path(__file__).parents[2]
COMPOSE = sorted(ROOT.glob("docker-compose*.yml"))
SHIPPED = [ROOT / "Dockerfile.prod", *COMPOSE]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def services_of(file: Path) -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
    return services


def settings() -> set[str]:
    """Every variable that the page of settings names, and the files of those that are secrets."""
    rows = re.findall(r"^\| `(HEYDAY_\w+)`( †)?", (ROOT / "docs/reference/settings.md").read_text(), re.MULTILINE)
    return {name for name, _ in rows} | {f"{name}_FILE" for name, secret in rows if secret}


@pytest.mark.parametrize("file", SHIPPED, ids=name_of)
def test_every_setting_in_a_shipped_file_is_one_that_a_node_reads(file: Path) -> None:
    """A misspelt variable is silently nothing."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    # What is interpolated is told to compose, not to a node.
    named = set(re.findall(r"(?<!\$\{)\bHEYDAY_[A-Z_]+", "\n".join(lines)))

    assert named
    assert named - settings() == set()


@pytest.mark.parametrize("file", COMPOSE, ids=name_of)
def test_every_image_is_of_a_named_version(file: Path) -> None:
    """`latest` is another program tomorrow."""
    images = [str(service["image"]) for service in services_of(file).values()]

    assert [image for image in images if not re.search(r":v?\d+(\.\d+)+(-[\w.]+)?\}?$", image)] == []


def test_the_image_is_built_on_a_named_version() -> None:
    """A rebuild may bring security updates, and not another Python."""
    text = (ROOT / "Dockerfile.prod").read_text(encoding="utf-8")

    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+-slim-\w+$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON_IMAGE}"}


def test_the_image_runs_a_node_without_a_shell_and_without_root() -> None:
    """A shell would keep SIGTERM for itself, and Kubernetes believes only a number not to be root."""
    text = (ROOT / "Dockerfile.prod").read_text(encoding="utf-8")

    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["heyday"]\nCMD ["run"]' in text
    assert 'CMD ["heyday", "health"]' in text


@pytest.mark.parametrize("file", COMPOSE, ids=name_of)
def test_what_is_ours_cannot_write_and_has_no_privileges(file: Path) -> None:
    """A node needs neither: whoever takes it over gets neither."""
    ours = {name: one for name, one in services_of(file).items() if "heyday:" in str(one["image"])}

    assert ours
    assert [name for name, one in ours.items() if not (one.get("read_only") and one.get("cap_drop") == ["ALL"])] == []


@pytest.mark.parametrize("file", COMPOSE, ids=name_of)
def test_a_node_may_drain_before_it_is_killed(file: Path) -> None:
    """An engine that kills earlier turns every update into a crash."""
    node = services_of(file)["node"]

    drain = str(node["environment"].get("HEYDAY_DRAIN_WITHIN", "20s"))
    assert float(str(node["stop_grace_period"]).removesuffix("s")) > float(drain.removesuffix("s"))


def test_a_member_of_rabbitmq_has_a_name_before_it_is_healthy() -> None:
    """Swarm publishes names of healthy tasks only, and a member that waits for the others' names never becomes one."""
    members = [
        one for name, one in services_of(ROOT / "docker-compose.prod.yml").items() if name.startswith("rabbitmq-")
    ]

    assert [one["healthcheck"] for one in members] == [{"disable": True}] * 3


@pytest.mark.parametrize("right", ["configure", "write", "read"])
def test_rabbitmq_lets_heyday_have_what_is_called_as_heyday_calls_it(right: str) -> None:
    """The file takes a backslash as it stands: a pattern with two of them refuses every name."""
    lines = (ROOT / "deploy/rabbitmq/rabbitmq.conf").read_text(encoding="utf-8")
    pattern = re.search(rf"^default_permissions\.{right} = (\S+)$", lines, re.MULTILINE)

    assert pattern is not None
    assert all(re.search(pattern[1], name) for name in (DELIVERY, DEAD))
    assert not re.search(pattern[1], "others")


def test_only_what_the_image_is_made_of_gets_to_its_build() -> None:
    """What is not sent cannot end up in a layer: data, keys, history."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {
        "actors", "service", "schema", "deploy/image/*.lock", "pyproject.toml", "README.md", "LICENSE",
    }  # fmt: skip


@pytest.mark.parametrize("script", sorted((ROOT / "deploy").rglob("*.sh")), ids=name_of)
def test_every_script_is_one_that_bash_can_read(script: Path) -> None:
    """They run on a bad morning, or once a year."""
    assert subprocess.run(["bash", "-n", script], check=False, timeout=30).returncode == 0
