"""Tests of what signals do to commands that are cancelled by them."""

from __future__ import annotations

import asyncio
import signal
import sys

CANCELLABLE = """
import asyncio, signal
from actors.process import run_cancellable

signal.signal(signal.SIGHUP, signal.SIG_IGN)

async def work(arrived):
    print("ready", flush=True)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print(*(number.name for number in arrived), flush=True)
    return 0

run_cancellable(work)
"""


async def test_a_command_under_nohup_outlives_its_terminal() -> None:
    """The program nohup lets SIGHUP be ignored, and a day of the demo or a rehearsal is to go on."""
    command = await asyncio.create_subprocess_exec(sys.executable, "-c", CANCELLABLE, stdout=asyncio.subprocess.PIPE)
    assert command.stdout is not None
    await command.stdout.readline()

    command.send_signal(signal.SIGHUP)
    command.send_signal(signal.SIGTERM)

    assert (await command.stdout.read()).decode().split() == ["SIGTERM"]
    assert await command.wait() == 0
