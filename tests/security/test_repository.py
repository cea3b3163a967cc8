"""Checks the repository: it has no secret, and every installed package is pinned."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    """A pushed secret is public for ever."""
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


def names_of(requirements: list[str]) -> set[str]:
    """Return the required names in the spelling of the locks."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", one, maxsplit=1)[0]).lower() for one in requirements}


def pins_of(file: str) -> set[str]:
    """Return every `name==version` of a file of pins; a version may depend on the Python."""
    return set(re.findall(r"^([a-z0-9-]+==[^\s;]+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE))


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
BUILD = PROJECT["dependency-groups"]["build"]


def needed_by(requirements: list[str]) -> set[str]:
    """Return all packages that these need here, by their metadata."""
    found: set[str] = set()
    waiting = [Requirement(one) for one in requirements]
    while waiting:
        one = waiting.pop()
        asked = [canonicalize_name(one.name), *(f"{one.name}[{extra}]" for extra in one.extras)]
        if not found.issuperset(asked):
            found.update(asked)
            for text in metadata.requires(one.name) or []:
                further = Requirement(text)
                if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in one.extras or {""}):
                    waiting.append(further)
    return {name for name in found if "[" not in name}


def test_every_dependency_is_pinned() -> None:
    """The next release of a package may be malicious, also of a build tool."""
    wanted = [*PROJECT["project"]["dependencies"], *(one for extra in EXTRAS.values() for one in extra), *BUILD]

    assert names_of(wanted) - {pin.partition("==")[0] for pin in pins_of("constraints.txt")} == set()
    assert names_of(PROJECT["build-system"]["requires"]) <= names_of(BUILD)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [("requirements", [*PROJECT["project"]["dependencies"], *EXTRAS["tracing"]]), ("build", BUILD)],
)
def test_the_image_is_made_of_what_is_tested_and_known_by_its_hash(lock: str, wanted: list[str]) -> None:
    """A package can be replaced on its way, and an outdated lock is another program than CI tests."""
    file = f"deploy/image/{lock}.lock"
    entries = re.split(r"\n(?=\S)", (ROOT / file).read_text(encoding="utf-8").strip())

    assert (names_of(wanted) | (needed_by(wanted) if lock == "requirements" else set())) <= {
        pin.partition("==")[0] for pin in pins_of(file)
    }
    assert pins_of(file) - pins_of("constraints.txt") == set()
    assert [one for one in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", one)] == []
    assert re.search(rf"--require-hashes[^&]*-r {lock}\.lock", (ROOT / "Dockerfile.prod").read_text(encoding="utf-8"))
