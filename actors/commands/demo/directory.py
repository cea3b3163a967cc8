"""`.heyday/`, where the demo keeps what it has: for one demo at a time, and thrown away when a fresh one is wanted."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path

from service.embedded.errors import DirectoryInUse, EmbeddedError

DIRECTORY = Path(".heyday")
"""Below the directory in which the demo is started: in the project itself under `make demo`."""


class Place:
    """The claimed directory. The claim is a lock that the system drops with our process, however that ends."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        """Claim the directory, making it where needed. Raises DirectoryInUse, or EmbeddedError when it is not ours."""
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
        """A path as it is shown to people: from where they are, if it is below."""
        here = Path.cwd().resolve()
        return str(path.relative_to(here) if path.is_relative_to(here) else path)

    def release(self) -> None:
        """Let another demo have it."""
        os.close(self._lock)

    def empty(self) -> None:
        """Throw away what earlier demos kept, once nothing runs there any more."""
        for entry in self.path.iterdir():
            if entry.is_symlink():
                # Where an account could not reach the project, its data lie in a directory made for them elsewhere.
                outer = entry.readlink().parent
                if outer.name.startswith("heyday-"):
                    shutil.rmtree(outer, ignore_errors=True)
                entry.unlink()
            elif entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()

    def begin_log(self) -> None:
        """Begin a new log; that of the demo before is kept beside it."""
        with suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".before.log"))

    def _make(self) -> None:
        if self.path.exists():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            # Made by root in somebody's project, it belongs to whom the project belongs to.
            above = self.path.parent.stat()
            os.chown(self.path, above.st_uid, above.st_gid)
