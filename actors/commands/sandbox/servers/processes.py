"""Starts, finds and ends the processes of a server, and never those of another program.

A process id may be reused, so no process is found by a recorded id. A process belongs to a server if it has the name of
its program and works inside its directory.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no annotations

from actors.commands.sandbox.servers.account import Account
from actors.commands.sandbox.servers.errors import ServerFailed

POLL_INTERVAL = 0.02
"""Seconds between two checks of a process that is ending."""


@cache
def death_signal_prefix(number: signal.Signals) -> tuple[str, ...]:
    """Words before a command that let Linux send it a signal when its parent dies. Empty on other systems."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    prefix = (setpriv, "--pdeathsig", number.name.removeprefix("SIG"))
    offered = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0  # noqa: S603 - fixed words
    return prefix if offered else ()


def spawn(
    command: Sequence[str],
    *,
    directory: Path,
    log: Path,
    account: Account,
    environment: Mapping[str, str],
    farewell: signal.Signals,
    stdin: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in `directory`, in a session of its own, so that Ctrl-C in the terminal does not reach it.

    Linux sends it `farewell` when the calling thread ends, so call this from the main thread. It gets only the given
    environment and a few neutral variables.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - programs and arguments of our own
            [*death_signal_prefix(farewell), *command],
            cwd=directory,
            env=_neutral(directory) | dict(environment),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=account.user,
            group=account.group,
            extra_groups=account.groups,
        )
    if stdin is not None:
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        with suppress(BrokenPipeError), process.stdin:  # the program has ended, and its log says why
            process.stdin.write(stdin.encode())
    return process


async def run(command: Sequence[str], *, directory: Path, account: Account) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its output."""
    return await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=directory,
        env=_neutral(directory),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        user=account.user,
        group=account.group,
        extra_groups=account.groups,
    )


def _neutral(home: Path) -> dict[str, str]:
    """An environment without variables of the user, such as PGDATA, that would change the program."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC", "HOME": str(home)}


def family(processes: Iterable[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    """These processes, if they are alive, and their descendants."""
    members: list[psutil.Process] = []
    for process in processes:
        if process.poll() is None:
            try:
                parent = psutil.Process(process.pid)
                members += [parent, *parent.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
    return members


def strays(directory: Path, names: Collection[str]) -> list[psutil.Process]:
    """Processes with these names that work inside `directory`, left from an earlier run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() in names and Path(process.cwd()).is_relative_to(directory) and is_alive(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # It has ended, or belongs to another user.
    return found


def stop(processes: Collection[psutil.Process]) -> None:
    """Stop the processes where they are."""
    _send(processes, signal.SIGSTOP)


async def end(processes: Collection[psutil.Process], *, farewell: signal.Signals, within: float) -> None:
    """Ask the processes to end, and kill those that still run after `within` seconds."""
    _send(processes, farewell)
    if left := await outlasting(processes, within=within):
        await kill(left)


async def kill(processes: Collection[psutil.Process]) -> None:
    """Kill the processes and wait for their end. Raises ServerFailed if they still run after 10 s."""
    _send(processes, signal.SIGKILL)
    if left := await outlasting(processes, within=10):
        raise ServerFailed("processes", f"killed, but still running: {left}")


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)  # psutil checks that the id was not reused


async def outlasting(processes: Collection[psutil.Process], *, within: float) -> list[psutil.Process]:
    """Wait up to `within` seconds for the processes to end. Returns those that still run."""
    give_up = time.monotonic() + within
    while True:
        left = [process for process in processes if is_alive(process)]
        if not left or time.monotonic() > give_up:
            return left
        await asyncio.sleep(POLL_INTERVAL)  # They may be no children of this process, so their end cannot be awaited.


def is_alive(process: psutil.Process) -> bool:
    """True if the process runs. A zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
