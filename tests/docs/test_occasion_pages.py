"""Runs the commands of the pages about occasions, each page on a database of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.docs.commands import steps
from tests.forks import folder_of_heyday
from tests.node.harness import ROOT

PAGES = ("change_the_birthday_text", "add_a_name_day", "remind_three_days_before")


@pytest.mark.parametrize("page", PAGES)
async def test_every_command_of_the_page_prints_what_it_shows(page: str, database: str) -> None:
    """Readers copy commands."""
    found = steps(ROOT / "docs" / "how-to" / f"{page}.md")
    assert len(found) > 1

    for step in found:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", step.command),
            env={
                "PATH": f"{folder_of_heyday()}:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HEYDAY_DATABASE_URL": database,
                "LC_ALL": "C.UTF-8",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,  # as in a terminal
        )
        printed, _ = await process.communicate()

        assert printed.decode().strip() == step.printed, step.command
