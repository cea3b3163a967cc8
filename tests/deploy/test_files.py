"""Checks the shipped files against the code: existing settings, named versions, processes without root."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.adapters.rabbitmq.topology import DEAD, DELIVERY
from tests.yaml_files import read_yaml

ROOT = Path(__file__).parents[2]
COMPOSE = sorted(ROOT.glob("docker-compose*.yml"))
SHIPPED = [ROOT / "Dockerfile.prod", *COMPOSE]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def services_of(file: Path) -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = read_yaml(file)["services"]
    return services


def settings() -> set[str]:
    """Return every variable of the page of settings, and the `_FILE` variables of secrets."""
    rows = re.findall(r"^\| `(HEYDAY_\w+)`( †)?", (ROOT / "docs/reference/settings.md").read_text(), re.MULTILINE)
    return {name for name, _ in rows} | {f"{name}_FILE" for name, secret in rows if secret}


@pytest.mark.parametrize("file", SHIPPED, ids=name_of)
def test_every_setting_in_a_shipped_file_is_one_that_a_node_reads(file: Path) -> None:
    """A misspelt variable has no effect, and no error shows it."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    # Interpolated variables are read by compose, not by a node.
    named = set(re.findall(r"(?<!\$\{)\bHEYDAY_[A-Z_]+", "\n".join(lines)))

    assert named
    assert named - settings() == set()


@pytest.mark.parametrize("file", COMPOSE, ids=name_of)
def test_every_image_is_of_a_named_version(file: Path) -> None:
    """`latest` may be another program tomorrow."""
    images = [str(service["image"]) for service in services_of(file).values()]

    assert [image for image in images if not re.search(r":v?\d+(\.\d+)+(-[\w.]+)?\}?$", image)] == []


def test_the_image_is_built_on_a_named_version() -> None:
    """A rebuild should bring security updates but no other Python."""
    text = (ROOT / "Dockerfile.prod").read_text(encoding="utf-8")

    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+-slim-\w+$", text, re.MULTILINE)
    # The stage of the code continues the one of the packages.
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON_IMAGE}", "build"}


def test_the_image_runs_a_node_without_a_shell_and_without_root() -> None:
    """A shell would not pass on SIGTERM, and Kubernetes can check only a numeric user."""
    text = (ROOT / "Dockerfile.prod").read_text(encoding="utf-8")

    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["heyday"]\nCMD ["run"]' in text
    assert 'CMD ["heyday", "health"]' in text


@pytest.mark.parametrize("file", COMPOSE, ids=name_of)
def test_containers_of_heyday_cannot_write_and_have_no_privileges(file: Path) -> None:
    """A node needs neither, so an attacker who takes it over gets neither."""
    ours = {name: one for name, one in services_of(file).items() if "heyday:" in str(one["image"])}

    assert ours
    assert [name for name, one in ours.items() if not (one.get("read_only") and one.get("cap_drop") == ["ALL"])] == []


@pytest.mark.parametrize("file", COMPOSE, ids=name_of)
def test_a_node_with_a_read_only_root_has_a_bounded_temporary_directory(file: Path) -> None:
    """An import writes its answers there while the client does not read them."""
    node = services_of(file)["node"]

    volumes = [one for one in node.get("volumes", []) if isinstance(one, dict) and one["type"] == "tmpfs"]
    assert [one["target"] for one in volumes] or node["tmpfs"][0].startswith("/tmp:")
    sizes = [one["tmpfs"]["size"] for one in volumes] or re.findall(r"size=(\d+)m", node["tmpfs"][0])
    assert all(int(size) > 0 for size in sizes)
    assert len(sizes) == 1


def test_the_key_of_the_laptop_is_long_enough_and_named_where_readers_look() -> None:
    """A node on all interfaces refuses a key of fewer than 16 characters."""
    file = ROOT / "docker-compose.yml"
    key = str(services_of(file)["node"]["environment"]["HEYDAY_API_KEYS"])

    assert len(key) >= 16
    assert f"`{key}`" in file.read_text(encoding="utf-8").splitlines()[0]
    assert f"`{key}`" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"Bearer {key}'" in (ROOT / "deploy/verify/laptop/run.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", COMPOSE, ids=name_of)
def test_a_node_may_drain_before_it_is_killed(file: Path) -> None:
    """An engine that kills earlier turns every update into a crash."""
    node = services_of(file)["node"]

    drain = str(node["environment"].get("HEYDAY_DRAIN_WITHIN", "20s"))
    assert float(str(node["stop_grace_period"]).removesuffix("s")) > float(drain.removesuffix("s"))


def test_prometheus_keeps_the_month_that_the_objective_is_about() -> None:
    """Its default is 15 days: the panel of the error budget would show half a month, and call it a month."""
    command = services_of(ROOT / "docker-compose.prod.yml")["prometheus"].get("command", ())
    kept = [int(days) for days in re.findall(r"--storage\.tsdb\.retention\.time=(\d+)d\b", " ".join(command))]

    assert len(kept) == 1
    assert kept[0] > 30


def test_a_member_of_rabbitmq_has_a_name_before_it_is_healthy() -> None:
    """Swarm publishes names of healthy tasks only, and a member needs the others' names to become healthy."""
    members = [
        one for name, one in services_of(ROOT / "docker-compose.prod.yml").items() if name.startswith("rabbitmq-")
    ]

    assert [one["healthcheck"] for one in members] == [{"disable": True}] * 3


def test_the_proxy_is_asked_over_its_port() -> None:
    """A proxy that hangs still has a valid file."""
    check = services_of(ROOT / "docker-compose.prod.yml")["proxy"]["healthcheck"]["test"]

    assert check[:2] == ["CMD", "curl"]
    assert check[-1].startswith("https://127.0.0.1/")


@pytest.mark.parametrize("right", ["configure", "write", "read"])
def test_rabbitmq_permits_the_names_that_heyday_uses_and_no_others(right: str) -> None:
    """The file does not unescape backslashes: a pattern with two of them refuses every name."""
    lines = (ROOT / "deploy/rabbitmq/rabbitmq.conf").read_text(encoding="utf-8")
    pattern = re.search(rf"^default_permissions\.{right} = (\S+)$", lines, re.MULTILINE)

    assert pattern is not None
    assert all(re.search(pattern[1], name) for name in (DELIVERY, DEAD))
    assert not re.search(pattern[1], "others")


def test_only_the_sources_of_the_image_are_sent_to_its_build() -> None:
    """Data, keys and history that are not sent cannot get into a layer."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {
        "actors", "service", "schema", "deploy/image/*.lock", "pyproject.toml", "README.md", "LICENSE",
    }  # fmt: skip


@pytest.mark.parametrize("script", sorted((ROOT / "deploy").rglob("*.sh")), ids=name_of)
def test_bash_can_parse_every_script(script: Path) -> None:
    """They run rarely, and then they must work."""
    assert subprocess.run(["bash", "-n", script], check=False, timeout=30).returncode == 0


def test_the_commands_of_the_pages_find_the_containers_of_one_service() -> None:
    """`docker ps --filter name=` searches names for a pattern, and a command in another container fails."""
    names = [f"heyday_{name}.1.v7x2k" for name in services_of(ROOT / "docker-compose.prod.yml")]
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    asked = set(re.findall(r"--filter name=([\w.-]+)", pages))

    assert len(asked) == 6
    assert [one for one in asked if len([name for name in names if re.search(one, name)]) != 1] == []


def test_the_guide_gives_every_label_that_the_stack_asks_for() -> None:
    """A service without a machine of its label waits for ever, and Swarm says so only in the list of its tasks."""
    stack = (ROOT / "docker-compose.prod.yml").read_text(encoding="utf-8")
    guide = (ROOT / "docs" / "DEPLOYMENT_GUIDE.md").read_text(encoding="utf-8")

    asked = set(re.findall(r"node\.labels\.(heyday\.[\w-]+) == true", stack))
    assert asked == set(re.findall(r"--label-add (heyday\.[\w-]+)=true", guide))
    assert len(asked) == 8
