"""`heyday chaos`: prepares the directory of logs, runs a rehearsal, shows the verdict, returns an exit code."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp
import orjson
from rich.console import Console

from actors.commands.arguments import usable
from actors.commands.chaos.configuration import Configuration, configure
from actors.commands.chaos.options import ChaosOptions, options_from
from actors.commands.chaos.preflight import NotEmpty
from actors.commands.chaos.rehearsal import NeverBegan, NothingToRehearse, Rehearsal
from actors.commands.chaos.report import recoveries, summary
from actors.commands.chaos.result import RehearsalResult
from actors.commands.chaos.wave import NotSignedUp
from actors.commands.errors import CommandFailed, WrongValue
from actors.commands.exit_codes import FAILED, OK
from actors.commands.sandbox.servers.errors import EmbeddedError
from actors.commands.sandbox.servers.place import remove
from actors.process import Signals, run_cancellable
from service.adapters.postgres.migrations import MigrationChanged
from service.ports import Unavailable

STARTUP_FAILURES = (
    *(EmbeddedError, Unavailable, MigrationChanged, NotEmpty, NothingToRehearse, NotSignedUp, NeverBegan),
    *(aiohttp.ClientError, OSError),
)
"""Exceptions that end a rehearsal before its verdict."""

DATA_DIRECTORIES = ("postgres", "redis", "rabbitmq")
"""Data of the servers, deleted at the end. Their logs are copied beside them first."""


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run a rehearsal and return the exit code. Raises BadConfiguration, CommandFailed, WrongValue."""
    options = options_from(args)
    configuration = configure(environment, options, options.seconds)
    console = Console(highlight=False)
    if options.json is not None:
        with usable("--json", options.json):
            options.json.open("wb").close()  # the verdict of an earlier rehearsal is none of this one
    directory = _directory(options)
    console.print(f" [bold]{options.command}[/]\n", soft_wrap=True)
    code = FAILED
    try:
        code = run_cancellable(lambda signals: _rehearse(options, configuration, directory, console, signals))
    finally:
        _delete_data(directory)
        if options.directory is None and (code == OK or not any(directory.iterdir())):
            shutil.rmtree(directory, ignore_errors=True)
        if code != OK:
            logs = f" logs    {directory}\n" if directory.exists() else ""
            console.print(f"{logs} again   {options.command}", soft_wrap=True)
    return code


async def _rehearse(
    options: ChaosOptions, configuration: Configuration, directory: Path, console: Console, signals: Signals
) -> int:
    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    try:
        result = await Rehearsal(options, configuration, directory, say).perform()
    except asyncio.CancelledError:
        if not signals:
            raise
        say(" stopped before the verdict; no process is left running")
        return 128 + signals[-1]
    except STARTUP_FAILURES as error:
        say(f" heyday: {error or type(error).__name__}")
        return FAILED
    show(result, directory, console)
    return OK if result.good else FAILED


def show(result: RehearsalResult, directory: Path, console: Console) -> None:
    """Show the verdict, then write it into its files. Raises CommandFailed."""
    console.print()
    console.print(recoveries(result))
    console.print()
    console.print(summary(result))
    console.print("\n [bold green]PASSED[/]\n" if result.good else "\n [bold red]FAILED[/]\n")
    report = orjson.dumps(result.as_json(), option=orjson.OPT_INDENT_2, default=str)
    for file in (directory / "verdict.json", result.options.json):
        try:
            if file is not None:
                file.write_bytes(report)
        except OSError as error:
            raise CommandFailed(f"{file}: {error.strerror}") from error


def _directory(options: ChaosOptions) -> Path:
    """Make the directory of the rehearsal. It is not private: as root, the servers run under another account."""
    if options.directory is None:
        directory = Path(tempfile.mkdtemp(prefix="heyday-chaos-"))
        directory.chmod(0o711)
    else:
        directory = options.directory.absolute()
        with usable("--directory", directory):
            directory.mkdir(parents=True, exist_ok=True)
            if any(directory.iterdir()):
                raise WrongValue(f"--directory {directory}: expected a directory that is empty")
            directory.chmod(0o711)
    return directory


def _delete_data(directory: Path) -> None:
    for name in DATA_DIRECTORIES:
        with suppress(OSError):
            remove(directory / name)
