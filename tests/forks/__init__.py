"""Runs `heyday` as forks of a process that has imported it: a node then starts in half the processor time.

Each fork is a process of its own, with its own environment, descriptors and exit code. A test for which the start of
the interpreter matters starts `python -m actors.cli` instead.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.forks import client

ROOT = Path(__file__).parents[2]


class ForkedProcess:
    """A fork, with the attributes of asyncio.subprocess.Process that tests use."""

    def __init__(self, pid: int, stderr: asyncio.StreamReader, exited: asyncio.Future[int]) -> None:
        self.pid = pid
        self.stderr: asyncio.StreamReader | None = stderr
        self._exited = exited

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._exited.result() if self._exited.done() else None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end, and return the exit code."""
        return await asyncio.shield(self._exited)


async def fork(arguments: Sequence[str], environment: Mapping[str, str], *, limit: int) -> ForkedProcess:
    """Start the command line with this environment. `limit` is the longest line on its standard error, in bytes."""
    errors, written = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    pid, ended = client.fork(_forking().address, arguments, environment, str(ROOT), (nothing, nothing, written))
    os.close(nothing)
    os.close(written)
    loop = asyncio.get_running_loop()
    stderr = asyncio.StreamReader(limit)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stderr), os.fdopen(errors, "rb"))
    code: asyncio.Future[int] = loop.create_future()
    await loop.connect_read_pipe(lambda: _ExitCode(code), os.fdopen(ended, "rb"))
    return ForkedProcess(pid, stderr, code)


def folder_of_heyday() -> str:
    """Return a folder for PATH, in which `heyday` is a program that forks."""
    return _forking().folder


class _ExitCode(asyncio.Protocol):
    def __init__(self, code: asyncio.Future[int]) -> None:
        self._code = code
        self._told = b""

    def data_received(self, data: bytes) -> None:
        self._told += data

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._code.done():
            # No end is reported if the process that forks was killed, and its forks with it.
            self._code.set_result(int(self._told or -signal.SIGKILL))


class _Forking:
    """The process that forks, and its folder."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="heyday-forks-")
        self.address = f"{self.folder}/socket"
        words = [sys.executable, "-ISE", client.__file__, self.address]
        program = Path(self.folder) / "heyday"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o755)
        command = [sys.executable, "-m", "tests.forks", self.address]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        atexit.register(self._close)
        assert self._process.stdout is not None
        self._process.stdout.read()  # until it listens

    def _close(self) -> None:
        self._process.communicate()
        shutil.rmtree(self.folder)


@cache
def _forking() -> _Forking:
    return _Forking()
