"""The account of the servers: the current one, or an unprivileged one if the current one is root.

PostgreSQL refuses to run as root. No account is added to the system: root uses the owner of the directory, or `nobody`.
PostgreSQL needs an account with a name, so a number alone is not enough.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """User and group of a server."""

    uid: int
    gid: int

    @property
    def _other(self) -> bool:
        return self.uid != os.geteuid()

    @property
    def user(self) -> int | None:
        """The argument `user` for `subprocess`. None means the current user."""
        return self.uid if self._other else None

    @property
    def group(self) -> int | None:
        """The argument `group` for `subprocess`."""
        return self.gid if self._other else None

    @property
    def groups(self) -> list[int] | None:
        """The argument `extra_groups` for `subprocess`. Another account keeps none of the current groups."""
        return [] if self._other else None

    def reaches(self, path: Path) -> bool:
        """True if the account can enter the directory, or read the file, through every parent.

        A process of the account tries it, because permission bits do not show access lists and mount options.
        """
        if not self._other:
            return True
        test = ["/bin/sh", "-c", 'if [ -d "$1" ]; then [ -x "$1" ]; else [ -r "$1" ]; fi', "sh", str(path.absolute())]
        tried = subprocess.run(test, cwd="/", user=self.user, group=self.group, extra_groups=self.groups, check=False)  # noqa: S603 - fixed words and a path
        return tried.returncode == 0

    def own(self, path: Path) -> None:
        """Make the account the owner of a file or directory."""
        if self._other:
            os.chown(path, self.uid, self.gid)


def account_for(directory: Path) -> Account:
    """The account for servers in `directory`, which need not exist yet."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    nearest = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    owner = nearest.stat().st_uid
    if owner != 0:
        try:
            return Account(owner, pwd.getpwuid(owner).pw_gid)
        except KeyError:
            pass  # The owner is a number without a name, for example on a volume of another machine.
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)
