"""A node whose root file system is read-only, with the temporary directory that each compose file gives it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.deploy.test_files import COMPOSE, ROOT, name_of, services_of
from tests.node.harness import NodeProcess, World

ROWS = 20_000
ROW = b'{"firstName":"Ada","lastName":"Row","email":"no address","timezone":"Europe/Nowhere","more":1}\n'
"""A row whose refusal is longer than itself, so that the results of all do not fit into memory."""

OWN_MOUNTS = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user"))]
READ_ONLY = f"for one in / /tmp /var/tmp {ROOT}; do ! mountpoint -q $one || mount -o remount,bind,ro $one || exit; done"
"""A shell command. No directory that Python would take for a temporary one can be written to."""


def may_mount() -> bool:
    """Return True if a process of this user can have mounts of its own."""
    try:
        tried = subprocess.run([*OWN_MOUNTS, "sh", "-c", READ_ONLY], check=False, capture_output=True, timeout=30)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


def temporary_directory(file: Path) -> str | None:
    """Return the size of the temporary directory of the file's node, as mount takes it; None if it has none."""
    node = services_of(file)["node"]
    sizes = [str(one["tmpfs"]["size"]) for one in node.get("volumes", []) if one.get("target") == "/tmp"]
    sizes += re.findall(r"^/tmp:size=(\d+m)", "\n".join(node.get("tmpfs", [])), re.MULTILINE)
    return sizes[0] if sizes else None


async def results_read_at_the_end(node: NodeProcess, body: bytes) -> list[dict[str, object]]:
    """Send a whole import, and read nothing before the node has stored it, as many HTTP libraries do."""
    port = (await node.logged("api_listening"))["port"]
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)  # little waits on the way
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=client, limit=1 << 16)
    try:
        writer.write(
            b"POST /api/v1/users:import HTTP/1.0\r\nContent-Type: application/x-ndjson\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        writer.write(body)
        await node.logged("users_imported")
        response = await reader.read()
    finally:
        writer.close()
    return [json.loads(line) for line in response.partition(b"\r\n\r\n")[2].splitlines()]


@pytest.mark.skipif(not may_mount(), reason="this user may not change mounts")
@pytest.mark.parametrize("file", COMPOSE, ids=name_of)
async def test_an_import_of_20000_rows_is_answered_on_a_read_only_root(
    file: Path, another_world: Callable[[], Awaitable[World]], tmp_path: Path
) -> None:
    """Results that the client has not read wait on disk. Without a temporary directory no row was answered."""
    world = await another_world()
    await world.begin()
    mounts = READ_ONLY
    if size := temporary_directory(file):
        mounts += f" && mount -t tmpfs -o size={size},mode=1777 heyday {tmp_path} && export TMPDIR={tmp_path}"
    node = await world.node(under=[*OWN_MOUNTS, "sh", "-c", f'{mounts} && exec "$@"', "sh"])

    results = await results_read_at_the_end(node, ROW * ROWS)

    assert [one["line"] for one in results] == list(range(1, ROWS + 1))
    assert {one["status"] for one in results} == {422}
    assert node.crashes() == []
