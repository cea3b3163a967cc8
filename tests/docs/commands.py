"""Reads the commands of a page with their printed output, and the help texts of modules, for tests that check them."""

from __future__ import annotations

import io
import re
import runpy
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """A command, its printed output, and the heading above."""

    heading: str
    command: str
    printed: str


def steps(document: Path) -> list[Step]:
    """Return every command of the document, in order."""
    found, heading = [], ""
    for part in re.findall(
        r"^## [^\n]+$|^```console\n.*?^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        if part.startswith("## "):
            heading = part[3:]
            continue
        for piece in re.split(r"^\$ ", part.removeprefix("```console\n").removesuffix("```"), flags=re.MULTILINE)[1:]:
            # A command continues while a line ends with a backslash or a quote is open.
            lines = piece.splitlines()
            end = next(n for n in range(1, len(lines) + 1) if _is_whole("\n".join(lines[:n])))
            found.append(Step(heading, "\n".join(lines[:end]), "\n".join(lines[end:]).strip()))
    return found


def _is_whole(command: str) -> bool:
    return not command.endswith("\\") and command.count("'") % 2 == 0


@cache
def help_of_module(module: str) -> str:
    """Return what `python -m MODULE --help` prints. It runs in this process, which has imported most of it."""
    arguments, said = sys.argv, io.StringIO()
    sys.argv = [module, "--help"]
    try:
        with redirect_stdout(said), redirect_stderr(io.StringIO()), suppress(SystemExit), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a test may have imported the module
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.argv = arguments
    return said.getvalue()
