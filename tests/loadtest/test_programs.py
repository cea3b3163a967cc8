"""Tests that measured programs end with the tool that started them."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest

TOOL = """
import asyncio
from loadtest.programs import last_word, program

async def main():
    async with program("actors.commands.sandbox.email_stub", "--port", "0") as stub:
        await last_word(stub)
        print(stub.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

MEASUREMENT = """
import asyncio, signal
from loadtest import servers

# A program that a script starts in the background ignores Ctrl-C, and under nohup SIGHUP. The tests may be started so.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

async def main():
    async with servers.running(rabbitmq=False) as running:
        print(running.place, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_tool_that_is_killed_leaves_nothing_running() -> None:
    """Nodes that keep running would disturb later measurements."""
    tool = await asyncio.create_subprocess_exec(sys.executable, "-c", TOOL, stdout=asyncio.subprocess.PIPE)
    assert tool.stdout is not None
    stub = psutil.Process(int(await tool.stdout.readline()))

    tool.kill()
    await tool.wait()
    await asyncio.to_thread(stub.wait, 30)

    assert not stub.is_running()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_tool_that_is_interrupted_removes_its_data(number: signal.Signals) -> None:
    """A job that is cancelled, or a terminal that is closed, would leave a database in /var/tmp each time."""
    tool = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MEASUREMENT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert tool.stdout is not None
    place = Path((await tool.stdout.readline()).decode().strip())

    tool.send_signal(number)
    code = await tool.wait()

    assert code != 0
    assert place.name.startswith("heyday-bench-")
    assert not await asyncio.to_thread(place.exists)
