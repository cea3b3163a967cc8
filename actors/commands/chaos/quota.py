"""A small disk for one directory, which can be filled to the last byte: a tmpfs that only this process sees.

It is mounted in a private mount namespace, so it disappears with the process. That needs root on Linux.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SIZE_MB = 320
"""Space for the programs, an empty database and some hundred thousand greetings."""

CLONE_NEWNS = 0x00020000
PIECE = bytes(64 * 1024)


class NoQuota(Exception):
    """The disk cannot be made here. The message says why."""


class Quota:
    """The disk at `directory`, which must not exist. Raises NoQuota."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._filler = directory / "filler"
        if sys.platform != "linux" or os.geteuid() != 0:
            raise NoQuota("a disk of limited size needs root on Linux")
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
            raise NoQuota(f"a mount namespace was refused: {os.strerror(ctypes.get_errno())}")
        directory.mkdir()
        # Without the first command, the mount would be visible outside and stay there.
        for words in (
            ["mount", "--make-rprivate", "/"],
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=711", "heyday", str(directory)],
        ):
            done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words and a path
            if done.returncode != 0:
                raise NoQuota(f"{' '.join(words)} failed: {done.stderr.strip()}")

    def fill(self) -> None:
        """Fill the disk. A process that deletes a file has space again."""
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(PIECE):
                pass

    def free(self) -> None:
        """Free the space."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the disk with all its files."""
        subprocess.run(["umount", "--lazy", str(self._directory)], capture_output=True, check=False)  # noqa: S603, S607 - fixed words and a path
