"""Starting, finding and ending the processes of a server, without ever touching a stranger's.

No process is looked up by a recorded number, because numbers are used again: a process is one of ours if it carries
the name of the server's program and works inside the server's own directory.
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

from service.embedded.account import Account
from service.embedded.errors import ServerFailed

POLL = 0.02
"""Seconds between two looks at a process that is about to end."""


@cache
def death_signal_prefix(number: signal.Signals) -> tuple[str, ...]:
    """Words before a command that make Linux send it a signal when its parent dies; none where that is not offered."""
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
    """Start a program in `directory`, in a session of its own: a Ctrl-C in our terminal is not for it.

    `farewell` is what it gets when we die. Linux sends that when the thread that called this ends, so call it from
    the main thread. The environment is the one given and little else.
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
        with suppress(BrokenPipeError), process.stdin:  # a program that ended already has said why in its log
            process.stdin.write(stdin.encode())
    return process


async def run(command: Sequence[str], *, directory: Path, account: Account) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it wrote."""
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
    """An environment in which no variable of the user's, such as PGDATA, changes what a program does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC", "HOME": str(home)}


def family(processes: Iterable[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    """The living among these processes, and their descendants."""
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
    """Processes of these names that work inside `directory`: what an earlier run left behind."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() in names and Path(process.cwd()).is_relative_to(directory) and is_alive(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # It ended meanwhile, or belongs to somebody whose processes we could not have started.
    return found


async def end(processes: Collection[psutil.Process], *, farewell: signal.Signals, within: float) -> None:
    """Ask the processes to end, give them `within` seconds, and kill what is left."""
    _send(processes, farewell)
    if left := await outlasting(processes, within=within):
        await kill(left)


async def kill(processes: Collection[psutil.Process]) -> None:
    """Kill the processes and return when they are gone. Raises ServerFailed when they outlast that by 10 s."""
    _send(processes, signal.SIGKILL)
    if left := await outlasting(processes, within=10):
        raise ServerFailed("processes", f"killed, and still there: {left}")


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)  # psutil makes sure that the number has not been used again


async def outlasting(processes: Collection[psutil.Process], *, within: float) -> list[psutil.Process]:
    """Wait up to `within` seconds for the processes to end; returns those that did not."""
    give_up = time.monotonic() + within
    while True:
        left = [process for process in processes if is_alive(process)]
        if not left or time.monotonic() > give_up:
            return left
        await asyncio.sleep(POLL)  # They need not be our children, so there is no end of theirs to await.


def is_alive(process: psutil.Process) -> bool:
    """Whether the process still does something; one that only waits for its parent to take note does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
