"""Tests that measured programs end with the tool that started them."""

from __future__ import annotations

import asyncio
import sys

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

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


async def test_a_tool_that_is_killed_leaves_nothing_running() -> None:
    """Nodes that keep running would disturb later measurements."""
    tool = await asyncio.create_subprocess_exec(sys.executable, "-c", TOOL, stdout=asyncio.subprocess.PIPE)
    assert tool.stdout is not None
    stub = psutil.Process(int(await tool.stdout.readline()))

    tool.kill()
    await tool.wait()
    await asyncio.to_thread(stub.wait, 30)

    assert not stub.is_running()
