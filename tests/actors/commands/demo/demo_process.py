"""Runs a demo as a process: its lines, its exit code, and the processes that it leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # ships no annotations

from actors.commands.sandbox.servers.ports import free_port

COMMAND = (sys.executable, "-m", "actors.cli", "demo", "--users", "60", "--seconds-per-day", "6")

LINE = r"^\d\d \w{3} \d\d:\d\d UTC  sent"
"""The begin of a line of progress."""

ROOT = Path(__file__).parents[4]


class DemoProcess:
    """A running demo. `lines` is its output so far."""

    def __init__(self, place: Path, *words: str, prefix: Sequence[str] = (), **environment: str) -> None:
        self.place = place
        self.lines: list[str] = []
        # A port of its own: two demos that start at once, in tests that run side by side, would both choose 8080.
        port = () if "--port" in words else ("--port", str(free_port()))
        self._process = subprocess.Popen(
            [*prefix, *COMMAND, *port, *words],
            cwd=place,
            env=_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def until(self, pattern: str) -> re.Match[str]:
        """Read until a line matches. Fails if the demo ends before."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"it ended without saying {pattern!r}:\n{self.text}")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Read the rest of its output, and return its exit code."""
        rest, _ = self._process.communicate()
        self.lines += rest.splitlines()
        return self._process.returncode

    @property
    def text(self) -> str:
        """Its whole output."""
        return "\n".join(self.lines)

    @property
    def clock(self) -> datetime:
        """Its business time when all users had signed up."""
        found = re.search(r"clock .* (\d+ \w+ \d{4} \d\d:\d\d) UTC", self.text)
        assert found is not None, self.text
        return datetime.strptime(found[1], "%d %b %Y %H:%M").replace(tzinfo=UTC)

    def running(self) -> list[Any]:
        """The processes that work in its directory."""
        return [process for process in psutil.process_iter() if _works_in(process, self.place / ".heyday")]

    def outlasting(self, seconds: float) -> list[Any]:
        """The processes that still run after at most that many seconds."""
        give_up = time.monotonic() + seconds
        while (left := self.running()) and time.monotonic() < give_up:
            time.sleep(0.02)
        return left

    def kill(self) -> None:
        """Kill it and all its processes."""
        self._process.kill()
        if self._process.stdout is not None and not self._process.stdout.closed:
            self._process.communicate()
        for process in self.running():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        assert self.outlasting(10) == []


def _works_in(process: Any, directory: Path) -> bool:
    try:
        # The system resolves links, so they are resolved here, too.
        homes = [directory.resolve(), *(entry.resolve() for entry in directory.iterdir())]
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and any(Path(process.cwd()).is_relative_to(home) for home in homes)
    except (psutil.Error, OSError):
        return False


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """An environment with settings that the demo must ignore, such as a real database."""
    misleading = {
        "HEYDAY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/real",
        "HEYDAY_EMAIL_URL": "http://127.0.0.1:1",
        "HEYDAY_RABBITMQ_URL": "amqp://127.0.0.1:1",
        "HEYDAY_SEND_AT": "10:00",
        "PGDATA": "/nowhere",
    }
    return {**os.environ, "PYTHONPATH": str(ROOT), **misleading, **more}
