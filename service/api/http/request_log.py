"""The canonical log line of each request. Lines of the same moment are written together, which costs a fifth."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Mapping

from service.telemetry.logs import log_batch

WRITE_AFTER = 0.01
"""Seconds for which lines are gathered. They share a timestamp."""

IDS_PER_READ = 256
"""Request ids made from one read of the system's random bytes."""


class RequestLog:
    """Gathers the lines of requests. `flush` writes the waiting ones, and a node calls it before it ends."""

    def __init__(self) -> None:
        self._lines: list[Mapping[str, object]] = []
        # That of a request has fields of this request, which must not get into the lines of others.
        self._context = contextvars.copy_context()

    def add(self, line: Mapping[str, object]) -> None:
        """Write a line soon."""
        if not self._lines:
            asyncio.get_running_loop().call_later(WRITE_AFTER, self.flush)
        self._lines.append(line)

    def flush(self) -> None:
        """Write the waiting lines."""
        lines, self._lines = self._lines, []
        if lines:
            self._context.copy().run(log_batch, "info", lines)


class RequestIds:
    """Makes ids of 32 hexadecimal digits, 128 random bits each."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def next(self) -> str:
        """A new id."""
        if not self._ids:
            text = os.urandom(16 * IDS_PER_READ).hex()
            self._ids = [text[start : start + 32] for start in range(0, len(text), 32)]
        return self._ids.pop()
