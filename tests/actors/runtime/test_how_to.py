"""The page docs/how-to/write_an_actor.md is correct: its code runs, and its figures are those of the runtime."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from actors.runtime import Backoff, Event, Intensity, Started
from actors.runtime.actor_instance import STOP_TIMEOUT

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "write_an_actor.md"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[ModuleType]:
    """The code blocks of the page, as one module."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    source = tmp_path / "page.py"
    source.write_text("\n\n".join(blocks), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("page", source)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["page"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["page"]


async def test_the_node_of_the_page_runs_and_drains(page: ModuleType) -> None:
    """A reader who copies the page must get code that works."""
    events: list[Event] = []

    async def beat() -> None:
        pass

    beats = await page.node(beat, events.append)

    assert beats in (0, 1)
    assert Started("heart") in events


async def test_the_test_of_the_page_passes(page: ModuleType) -> None:
    """It is the pattern for every test of an actor."""
    await page.test_a_heart_that_fails_once_beats_again()


def test_the_figures_of_the_page_are_the_defaults_of_the_runtime() -> None:
    """Readers tune a node with these figures."""
    text = PAGE.read_text(encoding="utf-8")
    intensity, backoff = Intensity(), Backoff()

    assert f"More than {intensity.restarts} failures" in text
    assert f"within {intensity.within:g} s" in text
    assert f"up to {backoff.first:g} s, then {2 * backoff.first:g} s, and so on up to {backoff.at_most:g} s" in text
    assert f"`stop` has {STOP_TIMEOUT:g} seconds" in text
