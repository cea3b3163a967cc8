"""The course of a demo without servers: the verdicts of its days, and its exit code."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from datetime import UTC, datetime
from unittest.mock import AsyncMock, Mock

import pytest

from actors.cli import main
from actors.commands.demo.days import Day
from actors.commands.demo.options import DemoOptions
from actors.commands.demo.story import Story
from tests.actors.commands.demo.test_frame import GOOD

START = datetime(2027, 3, 14, 18, 15, tzinfo=UTC)


@pytest.mark.parametrize(("good", "code"), [(True, 0), (False, 1)])
def test_ctrl_c_does_not_forget_a_verdict(good: bool, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 0 only if no greeting was lost, early or duplicated, on any day of the demo."""

    async def tell(story: Story) -> bool:
        story.good = good
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()
        return good

    monkeypatch.setattr(Story, "tell", tell)

    assert main(["demo"]) == code


async def test_a_bad_verdict_of_a_day_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo goes on, and later days may be good."""
    days = [(Day(number, START), replace(GOOD, unsent=lost)) for number, lost in ((2, 0), (3, 1), (4, 0))]
    watch = Mock(look=AsyncMock(), judged=AsyncMock(side_effect=[*days, asyncio.CancelledError]))
    monkeypatch.setattr(asyncio, "sleep", AsyncMock())
    story = Story(DemoOptions(), Mock())

    with pytest.raises(asyncio.CancelledError):
        await story._go_on(watch)

    assert not story.good
