"""A disk of a few megabytes for one directory, that can be filled to the last byte: a tmpfs that only we see.

It is mounted in a mount namespace of our own, so it goes with our process, however that ends. That needs the rights
of an administrator; where they are lacking the disk is not rehearsed, and that is said.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SIZE_MB = 320
"""Room for the programs, an empty database and some hundred thousand greetings."""

CLONE_NEWNS = 0x00020000
PIECE = bytes(64 * 1024)


class NoQuota(Exception):
    """Such a disk cannot be had here; the message says why."""


class Quota:
    """The disk at `directory`, which must not exist yet. Raises NoQuota."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._filler = directory / "filler"
        if sys.platform != "linux" or os.geteuid() != 0:
            raise NoQuota("a disk of limited size needs root on Linux")
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
            raise NoQuota(f"a mount namespace was refused: {os.strerror(ctypes.get_errno())}")
        directory.mkdir()
        # Without the first, what is mounted here could be seen, and would stay, outside.
        for words in (
            ["mount", "--make-rprivate", "/"],
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=711", "heyday", str(directory)],
        ):
            done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words and a path
            if done.returncode != 0:
                raise NoQuota(f"{' '.join(words)} failed: {done.stderr.strip()}")

    def fill(self) -> None:
        """Leave not a byte, now; whoever deletes something has room again."""
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(PIECE):
                pass

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Take the disk away, with all that is on it."""
        subprocess.run(["umount", "--lazy", str(self._directory)], capture_output=True, check=False)  # noqa: S603, S607 - fixed words and a path
