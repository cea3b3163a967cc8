"""The directory of one server while one process owns it: what is kept there, for the eyes of one account."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from service.embedded.account import Account, account_for
from service.embedded.errors import DirectoryInUse, EmbeddedError
from service.embedded.place import settle

LOG_TAIL = 20
"""Lines of the server's log that an error shows."""


class Home:
    """A claimed directory. The claim is a lock that the system drops with our process, however that ends."""

    def __init__(self, directory: Path) -> None:
        """Claim the directory, making it where needed.

        Raises DirectoryInUse while another process holds it, EmbeddedError when it cannot be used.
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
        """Let another process claim the directory."""
        os.close(self._lock)

    def folder(self, name: str) -> Path:
        """A folder that belongs to the account, made where needed."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        self.account.own(path)
        return path

    def keep(self, name: str, text: str) -> Path:
        """Write a file that only the account can read, whole or not at all."""
        path = self.path / name
        unfinished = self.path / f"{name}.unfinished"
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        self.account.own(unfinished)
        unfinished.rename(path)
        return path

    def kept(self, name: str) -> str | None:
        """What was kept under the name, by us or by an earlier owner."""
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            return None

    def log_tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL:])

    def _open(self, name: str) -> int:
        # The folder belongs to the account: root must not follow a link that it may have left there.
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if self.account.user is not None:
            os.fchown(descriptor, self.account.uid, self.account.gid)
        return descriptor
