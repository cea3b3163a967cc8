"""The account that servers run as: ourselves, or an unprivileged one when we are root.

PostgreSQL refuses to run as root and nothing else should. No account is added to the operating system: the owner of
the directory is taken, or `nobody`. PostgreSQL wants the account to have a name, so a bare number will not do.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """User and group that a server runs as."""

    uid: int
    gid: int

    @property
    def _other(self) -> bool:
        return self.uid != os.geteuid()

    @property
    def user(self) -> int | None:
        """What `subprocess` is to be told as `user`: None means ourselves."""
        return self.uid if self._other else None

    @property
    def group(self) -> int | None:
        """What `subprocess` is to be told as `group`."""
        return self.gid if self._other else None

    @property
    def groups(self) -> list[int] | None:
        """What `subprocess` is to be told as `extra_groups`: another account keeps none of our groups."""
        return [] if self._other else None

    def reaches(self, path: Path) -> bool:
        """Whether the account can enter the directory, or read the file, with every parent on the way.

        It is tried for real: permission bits alone say nothing about access lists or mount options.
        """
        if not self._other:
            return True
        test = ["/bin/sh", "-c", 'if [ -d "$1" ]; then [ -x "$1" ]; else [ -r "$1" ]; fi', "sh", str(path.absolute())]
        tried = subprocess.run(test, cwd="/", user=self.user, group=self.group, extra_groups=self.groups, check=False)  # noqa: S603 - fixed words and a path
        return tried.returncode == 0

    def own(self, path: Path) -> None:
        """Hand a file or directory that we made over to the account."""
        if self._other:
            os.chown(path, self.uid, self.gid)


def account_for(directory: Path) -> Account:
    """The account for servers that live in `directory`, which need not exist yet."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    nearest = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    owner = nearest.stat().st_uid
    if owner != 0:
        try:
            return Account(owner, pwd.getpwuid(owner).pw_gid)
        except KeyError:
            pass  # A number without a name, as on a volume from another machine.
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)
