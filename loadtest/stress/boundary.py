"""Limits the memory of one process: by a control group if one can be made, else by `prlimit`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

V2, V1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")


@dataclass(frozen=True, slots=True)
class Boundary:
    """`under` is a command that becomes the one that follows it, inside the limit; `how` says what limits it."""

    under: tuple[str, ...]
    how: str


@contextmanager
def memory_boundary(mebibytes: int) -> Iterator[Boundary]:
    """Return a limit of `mib` MiB.

    In a control group the kernel kills a process that needs more, as in a container. Otherwise `prlimit --data`
    refuses private memory, and Python raises MemoryError.
    """
    size = mebibytes * 1024 * 1024
    group = _group(size)
    if group is None:
        yield Boundary(("prlimit", f"--data={size}", "--"), f"RLIMIT_DATA, {mebibytes} MiB")
        return
    try:
        # The shell enters the group, then executes the program.
        enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
        yield Boundary(("sh", "-c", enter, str(group)), f"a control group of {mebibytes} MiB")
    finally:
        _remove(group)


def _group(size: int) -> Path | None:
    name = f"heyday-{uuid4().hex[:8]}"
    for home, limits in ((V1, ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")), (V2, ("memory.max",))):
        group = home / name
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / limits[0]).exists():
            for limit in limits:
                if (group / limit).exists():
                    (group / limit).write_text(str(size), encoding="ascii")
            return group
        group.rmdir()
    return None


def _remove(group: Path) -> None:
    for _ in range(50):
        try:
            os.rmdir(group)
        except OSError:  # a process that has just ended is still counted
            time.sleep(0.1)
        else:
            return
