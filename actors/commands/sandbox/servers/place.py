"""Where a server's files physically are: in the directory asked for, or behind a link where its account can go.

A project below /root, or in a private home, cannot be entered by the account that servers run as when we are root.
Opening those parents to everybody is not ours to do, so the files go to a directory of their own elsewhere, and a
symbolic link in the project names it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from service.embedded.account import Account
from service.embedded.errors import EmbeddedError

ELSEWHERE = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - mkdtemp makes an unguessable, private directory there
"""Directories that every account can enter and that survive a reboot, best first."""


def settle(directory: Path, account: Account) -> Path:
    """Make `directory` and return where it physically is: private to the account, and reachable by it.

    Raises EmbeddedError when it belongs to somebody else, or holds files where the account cannot go.
    """
    try:
        if directory.is_symlink() and not directory.exists():
            directory.unlink()  # A project that was carried to another machine, or container, without what it names.
        _make(directory)
        home = directory.resolve()
        if not account.reaches(home.parent):
            home = _move_out(directory, account)
        account.own(home)
        home.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"{directory} cannot be used: {error.strerror}") from error
    return home


def _make(directory: Path) -> None:
    """Make the directory and its parents; each belongs to whom its parent belongs to, also when root makes them."""
    if directory.exists():
        return
    _make(directory.parent)
    directory.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        above = directory.parent.stat()
        os.chown(directory, above.st_uid, above.st_gid)


def _move_out(directory: Path, account: Account) -> Path:
    if directory.is_symlink() or any(directory.iterdir()):
        raise EmbeddedError(f"{directory} holds files, and the account that servers run as cannot reach it")
    for parent in ELSEWHERE:
        try:
            outer = Path(tempfile.mkdtemp(prefix="heyday-", dir=parent))
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
    raise EmbeddedError(f"nowhere to put the files of {directory}: tried {', '.join(map(str, ELSEWHERE))}")
