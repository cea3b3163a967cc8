"""The secret files: a running node uses their present content soon after a change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import structlog

from service.environment import Secret, SecretFile

log = structlog.get_logger(__name__)

Replace = Callable[[Secret], Awaitable[None]]
"""Makes a client use the new value from now on. Raises ValueError, and changes nothing, if the client cannot use it."""


class SecretFiles:
    """Checks the files of those secrets that `replacements` names by their variable.

    A file that cannot be read, or has an error, changes nothing: the old value stays in use.
    """

    def __init__(self, files: Sequence[SecretFile], replacements: Mapping[str, Replace]) -> None:
        self._files = [(file, replacements[file.name]) for file in files if file.name in replacements]
        self._stamps: dict[str, tuple[int, int, int] | None] = {}
        self._values = {file.name: file.value for file, _ in self._files}

    async def check(self) -> None:
        """Read the files that changed since the last call; the first call reads all, because clients are made before.

        Some are made anew much later, with the values of the start.
        """
        for file, replace in self._files:
            stamp = _stamp(file.path)
            if file.name in self._stamps and stamp == self._stamps[file.name]:
                continue
            value = _read(file)
            if value is None:
                log.warning("secret_refused", setting=f"HEYDAY_{file.name}_FILE", file=str(file.path))
            elif value != self._values[file.name]:
                try:
                    await replace(value)
                except ValueError:  # it contradicts other settings
                    log.warning("secret_refused", setting=f"HEYDAY_{file.name}_FILE", file=str(file.path))
                else:
                    self._values[file.name] = value
                    log.info("secret_replaced", setting=f"HEYDAY_{file.name}_FILE", file=str(file.path))
            # Set last: a client that fails gets the value again at the next check.
            self._stamps[file.name] = stamp


def _read(file: SecretFile) -> Secret | None:
    try:
        return file.read()
    except (OSError, ValueError):  # UnicodeDecodeError is a ValueError
        return None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """A value that changes with the file. An orchestrator replaces the file; an edit changes its time."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
