"""Disks for directories of private servers: one that is small, and one that loses unsynced writes when its power fails.

Both are mounted in a private mount namespace, so they disappear with the process. That needs root on Linux.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path

from actors.commands.sandbox.servers.account import account_for
from actors.commands.sandbox.servers.server import Server

CLONE_NEWNS = 0x00020000
PIECE = bytes(64 * 1024)

EXT4_IOC_SHUTDOWN = 0x8004587D
GOING_FLAGS_NOLOGFLUSH = struct.pack("=I", 2)
"""From the kernel's fs/ext4/ext4.h: stop all writes at once, and do not even flush the journal."""


class NoDisk(Exception):
    """The disk cannot be made here. The message says why."""


class Disk:
    """A disk mounted at `directory`, which can be filled to the last byte."""

    SIZE_MB = 320
    """Space for the programs, an empty database and some hundred thousand greetings."""

    def __init__(self, directory: Path) -> None:
        """Make and mount the disk. `directory` must not exist. Raises NoDisk."""
        if not account_for(directory).reaches(directory.parent):
            raise NoDisk(f"the account of the servers cannot reach {directory.parent}")
        self._directory = directory
        self._filler = directory / "filler"
        _enter_private_mounts()
        directory.mkdir()

    def fill(self) -> None:
        """Fill the disk. A process that deletes a file has space again."""
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(PIECE):
                pass

    def free(self) -> None:
        """Free the space."""
        self._filler.unlink(missing_ok=True)

    def sync(self) -> None:
        """Write everything to the disk, as the kernel has done long ago on a machine that has been running."""
        _run("sync", "--file-system", str(self._directory))

    def close(self) -> None:
        """Remove the disk with all its files."""
        with suppress(NoDisk):
            _run("umount", "--lazy", str(self._directory))


class MemoryDisk(Disk):
    """A disk in memory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        _run("mount", "-t", "tmpfs", "-o", f"size={self.SIZE_MB}m,mode=711", "heyday", str(directory))


class PowerDisk(Disk):
    """A disk with the file system ext4, in a file beside `directory`. When its power is cut, it loses unsynced writes.

    What a program wrote is in the memory of the kernel until the kernel writes it to the disk. `fsync` waits for that;
    without it, the kernel does so after up to 30 s. The cut drops that memory. It does not drop what the kernel has
    written, so it is the power cut of a disk without a cache of its own, or with one that has a battery.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._image = directory.with_name(f"{directory.name}.disk")
        with self._image.open("wb") as file:
            file.truncate(self.SIZE_MB * 1024 * 1024)
        _run("mkfs.ext4", "-q", "-m", "0", str(self._image))
        self._mount()
        (directory / "lost+found").rmdir()  # the directory of a new server must be empty

    def cut(self) -> None:
        """Cut the power: nothing is written any more. The processes that use the disk must be stopped before."""
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, GOING_FLAGS_NOLOGFLUSH)
        finally:
            os.close(descriptor)

    def power_on(self) -> None:
        """Mount the disk again with what was written. The processes that used it must have ended. Raises NoDisk."""
        _run("umount", str(self._directory))
        self._mount()

    def close(self) -> None:
        super().close()
        self._image.unlink(missing_ok=True)

    def _mount(self) -> None:
        _run("mount", "-t", "ext4", "-o", "loop", str(self._image), str(self._directory))


async def cut_power(machines: Collection[tuple[Server, PowerDisk]]) -> None:
    """Cut the power of these servers and their disks, and mount the disks again. The servers do not run afterwards.

    A server is stopped before its disk, so that it confirms nothing after the cut.
    """
    for server, _ in machines:
        server.freeze()
    for _, disk in machines:
        disk.cut()
    for server, disk in machines:
        await server.kill()
        await server.stop()  # releases the directory
        disk.power_on()


def _enter_private_mounts() -> None:
    """Give this process its own mount namespace, if it has none yet. Raises NoDisk."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NoDisk("a disk of its own for a server needs root on Linux")
    _unshare_mounts()


@cache
def _unshare_mounts() -> None:
    """Once: a second namespace would copy the mounts, and a thread in the first one would keep them."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise NoDisk(f"a mount namespace was refused: {os.strerror(ctypes.get_errno())}")
    # Otherwise the mounts would be visible outside and stay there.
    _run("mount", "--make-rprivate", "/")


def _run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words and a path
    except FileNotFoundError as error:
        raise NoDisk(f"{words[0]} is not installed") from error
    if done.returncode != 0:
        raise NoDisk(f"{' '.join(words)} failed: {done.stderr.strip()}")
