"""Puts load on one HTTP server from another process: wrk if it is installed, else loadtest/client.py."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import uuid
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

GIVE_UP_AFTER = 30.0
"""Seconds beyond the requested duration after which the generator counts as hung."""


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of request, repeated over many connections; every status above 399 is an error."""

    method: str
    paths: tuple[str, ...]
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of a load; percentiles are seconds from the request to the end of the answer."""

    requests: int
    per_second: float
    errors: int
    p50: float
    p95: float
    p99: float


def generator() -> str:
    """Return the name of the generator that is used on this machine."""
    return "wrk" if shutil.which("wrk") else "loadtest.client (wrk is not installed)"


async def put(load: Load, url: str, place: Path, *, connections: int, seconds: float) -> Answered:
    """Put the load on the server at `url`; `place` is a directory to write to. Raises RuntimeError when it fails."""
    listed = place / "paths.txt"
    listed.write_text("\n".join(load.paths), encoding="utf-8")
    words = [load.method, uuid.uuid4().hex[:12], "keyed" if load.keyed else "plain", str(listed)]
    with as_file(files("loadtest") / "requests.lua") as script:
        if wrk := shutil.which("wrk"):
            command = [
                wrk, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:.0f}s",
                "--timeout", "10s", "--script", str(script), url, "--", *words,
            ]  # fmt: skip
        else:
            options = ["--connections", str(connections), "--seconds", str(seconds)]
            command = [sys.executable, "-m", "loadtest.client", *options, url, *words]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(seconds + GIVE_UP_AFTER):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    result = json.loads(said.decode().strip().splitlines()[-1])
    if not result["requests"]:
        raise RuntimeError(f"nothing was answered within {seconds:g} s: the machine has too much else to do")
    return Answered(
        requests=result["requests"],
        per_second=result["requests"] / result["microseconds"] * 1e6,
        errors=result["unanswered"] + result["refused"],
        p50=result["p50"] / 1e6,
        p95=result["p95"] / 1e6,
        p99=result["p99"] / 1e6,
    )
