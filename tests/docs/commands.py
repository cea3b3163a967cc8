"""The commands of a page, each with what is printed below it, for the tests that run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """A command, what is printed below it, and the heading that both are under."""

    heading: str
    command: str
    printed: str


def steps(document: Path) -> list[Step]:
    """Every command of the document, in order."""
    found, heading = [], ""
    for part in re.findall(
        r"^## [^\n]+$|^```console\n.*?^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        if part.startswith("## "):
            heading = part[3:]
            continue
        for piece in re.split(r"^\$ ", part.removeprefix("```console\n").removesuffix("```"), flags=re.MULTILINE)[1:]:
            # A command goes on while a line ends in a backslash or a quotation is open.
            lines = piece.splitlines()
            end = next(n for n in range(1, len(lines) + 1) if _is_whole("\n".join(lines[:n])))
            found.append(Step(heading, "\n".join(lines[:end]), "\n".join(lines[end:]).strip()))
    return found


def _is_whole(command: str) -> bool:
    return not command.endswith("\\") and command.count("'") % 2 == 0
