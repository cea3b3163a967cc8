"""Every test of the runtime runs on both event loops, and fails if it leaves a task or an unretrieved exception."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from tests.garbage import only_what_is_made


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of the standard library, and the one that nodes use."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
async def _nothing_is_left_behind() -> AsyncIterator[None]:
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))

    with only_what_is_made():
        yield

        assert asyncio.all_tasks() == {asyncio.current_task()}
        gc.collect()  # "exception was never retrieved" is said when the task or future goes
    assert unseen == []
