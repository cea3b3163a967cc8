"""The wheel: what it installs, and that it does not collide with other distributions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from service.adapters.postgres.migrations import available
from tests.node.harness import ROOT

UV = Path(sys.executable).parent / "uv"


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """Return the standard output of a command that must succeed.

    It runs outside the repository, so it finds only installed files. It trusts public authorities, such as PyPI's.
    """
    inherited = {name: value for name, value in os.environ.items() if (name, value) != ("SSL_CERT_FILE", os.devnull)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, cwd="/", env=inherited | (environment or {})
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a virtual environment with heyday's wheel and the distribution `schema` of PyPI."""
    directory = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--quiet", "--wheel", "--out-dir", directory, ROOT)
    run(UV, "venv", "--quiet", "--python", sys.executable, directory / "venv")
    (wheel,) = directory.glob("*.whl")
    constraints = ROOT / "constraints.txt"
    python = directory / "venv" / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, "--constraint", constraints, wheel, "schema")
    return python.parent


@pytest.mark.nightly
def test_the_distribution_schema_works_beside_heyday(installed: Path) -> None:
    """Both had a top-level package `schema`, and the later installation overwrote the other."""
    said = run(installed / "python", "-c", "import schema; print(schema.Schema(int).validate(7))")

    assert said == "7\n"


async def test_the_installed_command_applies_every_file_of_the_schema(installed: Path, database: str) -> None:
    """The SQL files are part of the wheel."""
    connection = await asyncpg.connect(database)
    await connection.execute("drop schema public cascade; create schema public")
    await connection.close()

    said = run(installed / "heyday", "migrate", environment={"HEYDAY_DATABASE_URL": database})

    assert said.splitlines() == [f"applied {migration.name}" for migration in available()]


def test_the_wheel_has_two_packages_and_says_that_they_are_typed(installed: Path) -> None:
    """Top-level names are shared with every other distribution, so the wheel must add few."""
    code = (
        "from importlib.metadata import files; "
        "print(*sorted({f.parts[0] for f in files('heyday') if '.' not in f.parts[0]} - {'__pycache__'}), "
        "*sorted(str(f) for f in files('heyday') if f.name == 'py.typed'))"
    )

    assert run(installed / "python", "-c", code).split() == [
        "actors", "service", "actors/py.typed", "service/py.typed",
    ]  # fmt: skip
