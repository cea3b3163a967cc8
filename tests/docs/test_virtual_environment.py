"""`make` chooses a Python that is new enough, and replaces a virtual environment that does not work."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_documents import ROOT

NEW_PYTHON = f"""#!/bin/sh
case "$*" in "-m venv "*) set -- "$@" --without-pip ;; esac
exec {shlex.quote(sys.executable)} "$@"
"""
OLD_PYTHON = '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.10.13"\nexit 1\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files that `make .venv/installed` depends on."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def install(project: Path, python: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Make the virtual environment, without installing packages into it, so also without pip."""
    python = python or executable(project / "python3", NEW_PYTHON)
    words = ["make", f"PYTHON={python}", "INSTALL=true", ".venv/installed"]
    return subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)


def executable(path: Path, text: str) -> Path:
    """A program at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_python_that_is_too_old_is_refused_before_anything_is_made(project: Path) -> None:
    """pip would fail later with a message about dependencies, and leave a useless environment."""
    old = executable(project / "python3.10", OLD_PYTHON)

    done = install(project, old)

    assert done.returncode != 0
    assert f"but {old} is Python 3.10.13" in done.stderr
    assert not (project / ".venv").exists()


def test_an_environment_with_a_python_that_is_too_old_is_replaced(project: Path) -> None:
    """An earlier attempt, or an upgrade of the system, may have left it."""
    executable(project / ".venv/bin/python", OLD_PYTHON)

    done = install(project)

    assert done.returncode == 0, done.stderr
    assert (project / ".venv/bin/python").resolve().stat().st_size > len(OLD_PYTHON)
    assert (project / ".venv/installed").exists()


def test_an_environment_whose_python_has_gone_is_made_and_filled_again(project: Path) -> None:
    """The stamp of the installation must not count then."""
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(project / "gone")
    (project / ".venv/installed").touch()

    done = install(project)

    assert done.returncode == 0, done.stderr
    assert "Installing heyday" in done.stdout
    assert (project / ".venv/bin/python").exists()
