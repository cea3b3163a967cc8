"""`heyday demo`: prepares the console, runs the demo until it ends or a signal arrives, returns an exit code."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping

import aiohttp
from rich.console import Console

from actors.commands.demo.options import DemoOptions, options_from
from actors.commands.demo.people import SignUpFailed
from actors.commands.demo.screen import Screen
from actors.commands.demo.story import Story
from actors.commands.exit_codes import FAILED, OK
from actors.commands.sandbox.servers.errors import EmbeddedError
from actors.process import Signals, run_cancellable
from service.adapters.postgres.migrations import MigrationChanged
from service.ports import Unavailable


def run(args: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Run the demo. The exit code is 0 only if it started and no greeting was lost, early or duplicated."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal may be unable to show some of the names.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # the streams of a command are text files
    options = options_from(args)
    return run_cancellable(lambda signals: _run(options, signals))


async def _run(options: DemoOptions, signals: Signals) -> int:
    """Run it. The first signal drains everything in order. A further one ends the wait for that."""
    with Screen(Console(highlight=False)) as screen:
        story = Story(options, screen)
        try:
            return OK if await story.tell() else FAILED
        except asyncio.CancelledError:
            if not signals:
                raise
            if story.drained:
                screen.say(" drained and stopped; the next demo continues from here")
                return OK if story.good else FAILED
            screen.say(" stopped without draining; the next demo finds the unfinished messages again")
            return 128 + signals[-1]
        except MigrationChanged as error:
            screen.say(f" heyday: {error}; .heyday/ has data of another version: delete it with --fresh")
        except (EmbeddedError, Unavailable, SignUpFailed, aiohttp.ClientError, TimeoutError) as error:
            screen.say(f" heyday: {error or type(error).__name__}")
    return FAILED
