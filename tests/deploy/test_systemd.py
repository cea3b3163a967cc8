"""Checks the systemd units against the code, against each other, and with systemd if it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.settings import read
from tests.deploy.test_files import ROOT, name_of, settings

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
NODE = FOLDER / "heyday@.service"

NEEDED = {
    "HEYDAY_DATABASE_URL": "postgresql://db/heyday",
    "HEYDAY_REDIS_URL": "redis://redis",
    "HEYDAY_EMAIL_URL": "https://email.example.com",
    "HEYDAY_API_KEYS": "a-key-of-16-chars",
}
"""The settings that the units pass as files."""


def values(unit: Path, option: str) -> list[str]:
    """Return every value of an option, in order."""
    return re.findall(rf"^{option}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


def told() -> dict[str, str]:
    lines = (FOLDER / "heyday.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_setting_is_one_that_a_node_reads_and_all_of_them_make_a_node() -> None:
    """A misspelt variable has no effect, and no error shows it."""
    named = {value.partition("=")[0] for unit in UNITS for value in values(unit, "Environment")} | told().keys()

    assert named - settings() == set()
    assert read(told() | NEEDED).cluster == "production"


@pytest.mark.parametrize("unit", UNITS, ids=name_of)
def test_every_secret_that_a_unit_names_is_a_credential_that_it_loads(unit: Path) -> None:
    """A node without its file does not start."""
    files = {value.partition("=%d/")[2] for value in values(unit, "Environment") if "_FILE=" in value}
    credentials = dict(value.split(":", 1) for value in values(unit, "LoadCredential"))
    script = (ROOT / "deploy" / "secrets.sh").read_text(encoding="utf-8")

    assert files == credentials.keys()
    assert [path for path in credentials.values() if not re.search(rf"\b{Path(path).name}\b", script)] == []


def test_a_node_may_drain_before_it_is_killed() -> None:
    """Killed nodes leave unknown outcomes."""
    (stop,) = values(NODE, "TimeoutStopSec")

    assert float(stop.removesuffix("s")) >= float(told()["HEYDAY_DRAIN_WITHIN"].removesuffix("s")) + 10


@pytest.mark.parametrize("unit", UNITS, ids=name_of)
def test_a_mistake_in_the_settings_is_not_tried_again_and_again(unit: Path) -> None:
    """A person must correct it, and the first lines of the journal say what."""
    assert values(unit, "Restart") == ["on-failure"]
    assert values(unit, "RestartPreventExitStatus") == ["2"]


def test_nodes_come_after_the_migration_without_depending_on_it() -> None:
    """The schema may be applied elsewhere, and a node waits for it."""
    assert "heyday-migrate.service" in values(NODE, "After")[0].split()
    assert "heyday-migrate.service" in values(NODE, "Wants")[0].split()
    assert values(NODE, "Requires") == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="a machine without systemd runs no units")
def test_systemd_finds_no_mistake_and_little_that_is_exposed(tmp_path: Path) -> None:
    """systemd ignores a misspelt or unknown option with a warning in the journal only."""
    for unit in UNITS:
        # The program is not installed here. An instance name makes systemd accept the template.
        text = unit.read_text(encoding="utf-8").replace("/opt/heyday/bin/heyday", "/bin/true")
        (tmp_path / unit.name.replace("@", "@8080")).write_text(text, encoding="utf-8")
    paths = [str(path) for path in sorted(tmp_path.iterdir())]

    verified = subprocess.run(
        ["systemd-analyze", "verify", *paths], capture_output=True, text=True, timeout=60, check=False
    )

    mistakes = [line for line in verified.stderr.splitlines() if str(tmp_path) in line or "heyday" in line]
    assert (verified.returncode, mistakes) == (0, [])
    for path in paths:
        exposed = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", path],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert exposed.returncode == 0, exposed.stdout
