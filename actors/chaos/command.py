"""The command `heyday chaos`: a place for its logs, signals that end it, a verdict and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import aiohttp
import orjson
import uvloop
from rich.console import Console

from actors.chaos.configuration import Configuration, configure
from actors.chaos.emptiness import NotEmpty
from actors.chaos.finding import Finding
from actors.chaos.options import ChaosOptions, options_from
from actors.chaos.rehearsal import NeverBegan, Rehearsal
from actors.chaos.report import recoveries, summary
from actors.chaos.wave import NotSignedUp
from service.adapters.postgres.migrations import MigrationChanged
from service.embedded.errors import EmbeddedError
from service.ports import Unavailable

OK, FAILED, REFUSED = 0, 1, 3

IMPOSSIBLE = (EmbeddedError, Unavailable, MigrationChanged, NotSignedUp, NeverBegan, aiohttp.ClientError, OSError)
"""What ends a rehearsal before its verdict."""

DATA = ("postgres", "redis", "rabbitmq")
"""Folders of the servers: what is kept for people is in the logs beside them."""


def run(args: argparse.Namespace) -> int:
    """Rehearse, and return the exit code. Raises BadConfiguration with every mistake in the environment."""
    options = options_from(args)
    configuration = configure(os.environ, options, len(options.faults) * options.each)
    console = Console(highlight=False)
    directory = _directory(options)
    console.print(f" [bold]{options.command}[/]\n", soft_wrap=True)
    code = FAILED
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_with_signals(options, configuration, directory, console))
    finally:
        _clean(directory, keep=code != OK or options.directory is not None)
        if code != OK:
            console.print(f" logs    {directory}\n again   {options.command}", soft_wrap=True)
    return code


async def _with_signals(options: ChaosOptions, configuration: Configuration, directory: Path, console: Console) -> int:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this is a coroutine
    signals: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        signals.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end, number)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    try:
        finding = await Rehearsal(options, configuration, directory, say).perform()
    except asyncio.CancelledError:
        if not signals:
            raise
        say(" ended before the verdict; nothing is left running")
        return 128 + signals[-1]
    except NotEmpty as why:
        say(f" heyday: {why}")
        return REFUSED
    except IMPOSSIBLE as error:
        say(f" heyday: {error or type(error).__name__}")
        return FAILED
    _tell(finding, directory, console)
    return OK if finding.good else FAILED


def _tell(finding: Finding, directory: Path, console: Console) -> None:
    report = orjson.dumps(finding.as_json(), option=orjson.OPT_INDENT_2, default=str)
    (directory / "verdict.json").write_bytes(report)
    if finding.options.json is not None:
        finding.options.json.write_bytes(report)
    console.print()
    console.print(recoveries(finding))
    console.print()
    console.print(summary(finding))
    console.print("\n [bold green]PASSED[/]\n" if finding.good else "\n [bold red]FAILED[/]\n")


def _directory(options: ChaosOptions) -> Path:
    """Where everything is kept. The account that servers run as when we are root has to pass."""
    if options.directory is None:
        directory = Path(tempfile.mkdtemp(prefix="heyday-chaos-"))
    else:
        directory = options.directory.absolute()
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            sys.exit(f"heyday: {directory} is not empty")
    directory.chmod(0o711)
    return directory


def _clean(directory: Path, *, keep: bool) -> None:
    """Delete what the servers have stored, and the logs too unless they are to be kept."""
    for name in DATA:
        shutil.rmtree(directory / name, ignore_errors=True)
    if not keep:
        shutil.rmtree(directory, ignore_errors=True)
