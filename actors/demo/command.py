"""The command `heyday demo`: a console, signals that end the story in order, and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import aiohttp
import uvloop
from rich.console import Console

from actors.demo.options import DemoOptions, options_from
from actors.demo.people import SignUpFailed
from actors.demo.screen import Screen
from actors.demo.story import Story
from service.adapters.postgres.migrations import MigrationChanged
from service.embedded.errors import EmbeddedError
from service.ports import Unavailable

OK = 0
FAILED = 1


def run(args: argparse.Namespace) -> int:
    """Tell the story and return the exit code: not 0 if anything was lost, early or twice, or nothing could start."""
    for stream in (sys.stdout, sys.stderr):
        # A name that a terminal cannot show must not end the demo.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # the streams of a command are text files
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_with_signals(options_from(args)))


async def _with_signals(options: DemoOptions) -> int:
    """The first signal cancels the story, which then ends in order; every further one cancels what it waits for."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this is a coroutine
    signals: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        signals.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    with Screen(Console(highlight=False)) as screen:
        story = Story(options, screen)
        try:
            return OK if await story.tell() else FAILED
        except asyncio.CancelledError:
            if not signals:
                raise
            if story.drained:
                screen.say(" drained and stopped; it goes on from here next time")
                return OK
            screen.say(" stopped without draining; whatever was being sent is found again next time")
            return 128 + signals[-1]
        except MigrationChanged as error:
            screen.say(f" heyday: {error}; the data in .heyday are of another version: --fresh throws them away")
        except (EmbeddedError, Unavailable, SignUpFailed, aiohttp.ClientError, TimeoutError) as error:
            screen.say(f" heyday: {error or type(error).__name__}")
    return FAILED
