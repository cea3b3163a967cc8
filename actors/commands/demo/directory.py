"""`.heyday/`, the directory of the demo: claimed by one demo at a time, and emptied on request."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from actors.commands.sandbox.servers.errors import DirectoryInUse, EmbeddedError
from actors.commands.sandbox.servers.place import remove

DIRECTORY = Path(".heyday")
"""Relative to the current directory. With `make demo` this is the project."""


class DemoDirectory:
    """The claimed directory. The claim is a lock that the system releases when the process ends."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        """Claim the directory, and create it if needed. Raises DirectoryInUse, EmbeddedError."""
        self.path = directory.resolve()
        try:
            self._make()
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise EmbeddedError(f"{error.filename or self.path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise DirectoryInUse(directory) from error

    @property
    def postgres(self) -> Path:
        """The directory of PostgreSQL."""
        return self.path / "postgres"

    @property
    def redis(self) -> Path:
        """The directory of Redis."""
        return self.path / "redis"

    @property
    def log(self) -> Path:
        """The log of the node."""
        return self.path / "node.log"

    def shown(self, path: Path) -> str:
        """A path for messages: relative to the current directory if it is below."""
        here = Path.cwd().resolve()
        return str(path.relative_to(here) if path.is_relative_to(here) else path)

    def release(self) -> None:
        """Release the claim."""
        os.close(self._lock)

    def empty(self) -> None:
        """Delete the data of earlier demos. Nothing may run there."""
        for entry in self.path.iterdir():
            if entry.is_dir() or entry.is_symlink():
                remove(entry)
            elif entry.name != "lock":
                entry.unlink()

    def begin_log(self) -> None:
        """Begin a new log. The log of the last demo is kept beside it."""
        with suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".before.log"))

    def _make(self) -> None:
        if self.path.exists():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            # Created by root, it belongs to the owner of the project.
            above = self.path.parent.stat()
            os.chown(self.path, above.st_uid, above.st_gid)
