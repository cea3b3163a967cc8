"""A node as a process: start, restart, drain and kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no annotations
import pytest

from actors.commands.demo.directory import DemoDirectory
from actors.commands.rehearsal import node_process
from actors.commands.rehearsal.node_process import NodeProcess, end_left_behind
from actors.commands.sandbox.servers import processes
from actors.commands.sandbox.servers.account import Account
from actors.commands.sandbox.servers.errors import ServerFailed
from actors.commands.sandbox.servers.ports import free_port

# It answers that it is ready, and ends on SIGTERM unless STUBBORN is set. That is all that these tests need of a node.
STAND_IN = """
import http.server, os, signal, sys
host, port = os.environ["HEYDAY_BIND"].split(":")
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words): pass
signal.signal(signal.SIGTERM, signal.SIG_IGN if "STUBBORN" in os.environ else lambda *_: sys.exit(0))
print("started", flush=True)
if "BROKEN" in os.environ:
    sys.exit("no such luck")
http.server.HTTPServer((host, int(port)), Ready).serve_forever()
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[DemoDirectory]:
    """A directory for the log of the node."""
    made = DemoDirectory(tmp_path / ".heyday")
    yield made
    made.release()


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_process, "COMMAND", ("-c", STAND_IN))


def settings(**more: str) -> dict[str, str]:
    """Settings with a free port."""
    return {"HEYDAY_BIND": f"127.0.0.1:{free_port()}", **more}


def wait_until_it_started(place: DemoDirectory) -> None:
    """Wait until the program runs and has written its first line."""
    while "started" not in place.log.read_text():
        time.sleep(0.01)


async def test_it_is_ready_when_entered_and_has_ended_in_order_when_left(place: DemoDirectory) -> None:
    """This is the normal case."""
    async with NodeProcess(place.path, place.log, settings()) as node:
        pid = node.pid

    assert pid is not None
    assert node.drained
    assert not psutil.pid_exists(pid)


async def test_one_that_does_not_start_shows_what_it_wrote(place: DemoDirectory) -> None:
    """The reason is in the log."""
    with pytest.raises(ServerFailed, match=r"(?s)ended instead of starting.*no such luck"):
        await NodeProcess(place.path, place.log, settings(BROKEN="1")).__aenter__()


async def test_one_that_will_not_drain_is_killed(place: DemoDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process may be left, and the drain has a deadline."""
    monkeypatch.setattr(node_process, "DRAIN_WITHIN", 0.2)

    async with NodeProcess(place.path, place.log, settings(STUBBORN="1")) as node:
        pid = node.pid

    assert pid is not None
    assert not node.drained
    assert not psutil.pid_exists(pid)


async def test_a_cancelled_drain_kills_it_at_once(place: DemoDirectory) -> None:
    """This is the second Ctrl-C."""

    async def live() -> None:
        async with node:
            entered.set()

    node, entered = NodeProcess(place.path, place.log, settings(STUBBORN="1")), asyncio.Event()
    task = asyncio.ensure_future(live())
    await entered.wait()
    pid = node.pid
    await asyncio.sleep(0)  # it is being drained now, and ignores the signal

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert pid is not None
    assert not psutil.pid_exists(pid)


async def test_one_that_was_killed_is_started_again(place: DemoDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users of the demo kill a node on purpose. A node that keeps ending is not started again at once."""
    monkeypatch.setattr(node_process, "RESTART_INTERVAL", 3600.0)
    async with NodeProcess(place.path, place.log, settings()) as node:
        first = psutil.Process(node.pid)
        first.kill()
        assert await processes.outlasting([first], within=5) == []

        node.look_after()
        soon = node.pid
        monkeypatch.setattr(node_process, "RESTART_INTERVAL", 0.0)
        node.look_after()
        later = node.pid

    assert soon is None
    assert later is not None
    assert node.restarts == 1


async def test_what_a_killed_demo_left_is_ended_and_nothing_else(place: DemoDirectory) -> None:
    """Some systems do not end a child with its parent. Other processes in the same directory are left alone."""
    account = Account(os.geteuid(), os.getegid())

    def left(program: str) -> subprocess.Popen[bytes]:
        return processes.spawn(
            [sys.executable, "-c", program],
            directory=place.path,
            log=place.log,
            account=account,
            environment=settings(),
            farewell=signal.SIGTERM,
        )

    node, stranger = left(STAND_IN), left("import time; time.sleep(60)")
    wait_until_it_started(place)

    await end_left_behind(place.path)

    assert node.poll() == -signal.SIGKILL
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
