"""What is in the repository: no secret, and a pin for whatever is installed."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

SECRETS = re.compile(
    r"""
    -----BEGIN\ (?:[A-Z]+\ )*PRIVATE\ KEY-----
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b              # Amazon
    | \bgh[pousr]_[A-Za-z0-9]{36}\b              # GitHub
    | \bxox[abpr]-[0-9A-Za-z-]{10,}              # Slack
    | \bsk_live_[0-9A-Za-z]{16,}                 # Stripe
    | \beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,} # a signed token
    """,
    re.VERBOSE,
)


def test_no_file_of_the_repository_holds_a_secret() -> None:
    """What was pushed once is public for ever."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    found = {
        name
        for name in listed.stdout.splitlines()
        if (path := ROOT / name).is_file() and SECRETS.search(path.read_text(encoding="utf-8", errors="replace"))
    }

    assert found == set()


def test_every_dependency_is_pinned() -> None:
    """The next release of anything may be the one that was taken over."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    pinned = re.findall(r"^([a-z0-9-]+)==\S+", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)

    names = {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", one, maxsplit=1)[0]).lower() for one in wanted}
    assert names - set(pinned) == set()
