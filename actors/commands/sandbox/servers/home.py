"""The directory of one server: claimed by one process, readable by one account."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from actors.commands.sandbox.servers.account import Account, account_for
from actors.commands.sandbox.servers.errors import DirectoryInUse, EmbeddedError
from actors.commands.sandbox.servers.place import settle

LOG_TAIL = 20
"""Lines of the log that an error message contains."""


class Home:
    """A claimed directory. The claim is a lock that the system releases when the process ends."""

    def __init__(self, directory: Path) -> None:
        """Claim the directory, and create it if needed.

        Raises DirectoryInUse while another process holds it, EmbeddedError if it cannot be used.
        """
        self.account: Account = account_for(directory)
        self.path: Path = settle(directory, self.account)
        self.log: Path = self.path / "log"
        try:
            self._lock = self._open("lock")
            os.close(self._open("log"))
        except OSError as error:
            raise EmbeddedError(f"{error.filename} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise DirectoryInUse(directory) from error

    def release(self) -> None:
        """Release the claim."""
        os.close(self._lock)

    def folder(self, name: str) -> Path:
        """A folder of the account, created if needed."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        self.account.own(path)
        return path

    def keep(self, name: str, text: str) -> Path:
        """Write a file that only the account can read. The file is complete or absent."""
        path = self.path / name
        unfinished = self.path / f"{name}.unfinished"
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        self.account.own(unfinished)
        unfinished.rename(path)
        return path

    def kept(self, name: str) -> str | None:
        """The text that was kept with this name, or None."""
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            return None

    def log_tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL:])

    def _open(self, name: str) -> int:
        # The folder belongs to the account, so root must not follow a link in it.
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if self.account.user is not None:
            os.fchown(descriptor, self.account.uid, self.account.gid)
        return descriptor
