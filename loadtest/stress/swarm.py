"""Runs locust against a node in another process, and reads its results."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from actors.commands.sandbox.servers.processes import death_signal_prefix
from loadtest.stress.results import Results, read
from loadtest.stress.shapes import Shape

GIVE_UP_AFTER = 90.0
"""Seconds beyond the shape's duration after which locust counts as hung."""

STOP_WITHIN = 30
"""Seconds that locust gives to requests under way at the end."""

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
ROOT = Path(__file__).parents[2]


async def swarm(url: str, shape: Shape, place: Path, *, known: Sequence[str]) -> Results:
    """Put the traffic on the node at `url`; `place` is a directory to write to, `known` are ids of users to read.

    Raises RuntimeError if locust fails.
    """
    (place / "known").write_text("\n".join(known), encoding="utf-8")
    command = [
        *death_signal_prefix(signal.SIGTERM),
        sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless", "--host", url,
        "--shape", str(shape), "--each", f"{shape.each:g}", "--known", str(place / "known"),
        "--csv", str(place / "locust"), "--json-file", str(place / "summary"), "--only-summary",
        "--stop-timeout", str(STOP_WITHIN), "--loglevel", "WARNING", "--exit-code-on-error", "0",
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(shape.seconds + GIVE_UP_AFTER):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"locust ended with {process.returncode}: {said.decode()[-2_000:]}")
    return read(place / "locust", place / "summary.json", said.decode())
