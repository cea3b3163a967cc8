"""Finds a physical location for the files of a server that its account can reach.

If root starts a server, its account cannot enter a project below /root or in a private home. heyday does not change the
permissions of those directories. It puts the files elsewhere, and leaves a symbolic link in the project.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from actors.commands.sandbox.servers.account import Account
from actors.commands.sandbox.servers.errors import EmbeddedError

ELSEWHERE = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - mkdtemp makes an unguessable, private directory there
"""Directories that every account can enter and that survive a reboot, in order of preference."""

PREFIX = "heyday-"
"""The begin of the name of a directory that is made there."""


def settle(directory: Path, account: Account) -> Path:
    """Create `directory` and return its physical location, which is private to the account and reachable by it.

    Raises EmbeddedError if it belongs to another user, or if it has files that the account cannot reach.
    """
    try:
        if directory.is_symlink() and not directory.exists():
            directory.unlink()  # The project was copied to another machine without the target of the link.
        _make(directory)
        home = directory.resolve()
        if not account.reaches(home.parent):
            home = _move_out(directory, account)
        account.own(home)
        home.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"{directory} cannot be used: {error.strerror}") from error
    return home


def remove(directory: Path) -> None:
    """Delete the directory, and its files elsewhere if `settle` has put them there. No server may run there."""
    if not directory.is_symlink():
        shutil.rmtree(directory)
        return
    outer = directory.readlink().parent
    if outer.name.startswith(PREFIX):
        shutil.rmtree(outer, ignore_errors=True)
    directory.unlink()


def _make(directory: Path) -> None:
    """Create the directory and its parents. Each gets the owner of its parent, also if root creates it."""
    if directory.exists():
        return
    _make(directory.parent)
    directory.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        above = directory.parent.stat()
        os.chown(directory, above.st_uid, above.st_gid)


def _move_out(directory: Path, account: Account) -> Path:
    if directory.is_symlink() or any(directory.iterdir()):
        raise EmbeddedError(f"{directory} has files, and the account of the servers cannot reach it")
    for parent in ELSEWHERE:
        try:
            outer = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        except OSError:
            continue
        outer.chmod(0o711)
        if account.reaches(outer):
            home = outer / directory.name
            home.mkdir()
            directory.rmdir()
            directory.symlink_to(home)
            return home
        outer.rmdir()
    raise EmbeddedError(f"no reachable location for the files of {directory}: tried {', '.join(map(str, ELSEWHERE))}")
