"""A running demo: its servers, and the processes that it refuses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no annotations
import pytest

from tests.actors.commands.demo.demo_process import LINE, ROOT, DemoProcess
from tests.servers import data_directory


@pytest.fixture(scope="module")
def running() -> Iterator[DemoProcess]:
    """A demo in which it has been 09:00 in a city."""
    place = data_directory()
    told = DemoProcess(place)
    told.until(LINE)
    yield told
    told.kill()
    shutil.rmtree(place)


def test_servers_never_run_as_root_and_on_loopback_only(running: DemoProcess) -> None:
    """PostgreSQL refuses to run as root, and Redis should not. The network must not reach them."""
    processes = running.running()
    listening = [
        (process.name(), socket.laddr.ip)
        for process in processes
        for socket in process.net_connections("inet")
        if socket.status == psutil.CONN_LISTEN
    ]

    servers = [process for process in processes if not process.name().startswith("python")]
    assert {process.name() for process in servers} >= {"postgres", "valkey-server"}
    assert all(process.uids().real != 0 for process in servers)
    assert len(listening) == 3
    assert {address for _, address in listening} == {"127.0.0.1"}


def test_a_server_that_is_killed_is_started_again(running: DemoProcess) -> None:
    """Otherwise no greeting leaves any more, and a demo with `--once` never ends."""
    servers = {"postgres", "valkey-server"}
    killed = [process for process, name in _names(running).items() if name in servers]
    for process in killed:
        with suppress(psutil.NoSuchProcess):
            process.kill()

    while not servers <= {name for process, name in _names(running).items() if process not in killed}:
        running.until(LINE)


def _names(demo: DemoProcess) -> dict[psutil.Process, str]:
    """Return the names of the processes that run. Those of a server's sessions end at any moment."""
    names: dict[psutil.Process, str] = {}
    for process in demo.running():
        with suppress(psutil.NoSuchProcess):
            names[process] = process.name()
    return names


def test_a_real_node_refuses_its_database(running: DemoProcess) -> None:
    """A business clock that runs a thousand times too fast would greet real users on the wrong day."""
    home = running.place / ".heyday"
    database, redis = ((home / name / "port").read_text() for name in ("postgres", "redis"))
    passwords = [(home / name / "password").read_text() for name in ("postgres", "redis")]

    node = subprocess.run(
        [sys.executable, "-m", "actors.cli", "run"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HEYDAY_DATABASE_URL": f"postgresql://heyday:{passwords[0]}@127.0.0.1:{database}/heyday",
            "HEYDAY_REDIS_URL": f"redis://:{passwords[1]}@127.0.0.1:{redis}/0",
            "HEYDAY_EMAIL_URL": "http://127.0.0.1:1",
            "HEYDAY_BIND": "127.0.0.1:0",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert node.returncode == 1
    assert "belongs to a demo or a rehearsal" in node.stderr


def test_a_second_demo_in_the_same_place_is_refused_and_harms_nothing(running: DemoProcess) -> None:
    """It would kill the node of the first demo as a leftover."""
    second = DemoProcess(running.place, "--fresh")
    code = second.end()

    assert code == 1
    assert "is in use" in second.text
    running.until(LINE)
    assert any(process.name() == "postgres" for process in running.running())


def test_a_port_that_is_taken_is_reported(running: DemoProcess, tmp_path: Path) -> None:
    """One sentence, and nothing is started."""
    said = re.search(r"node +http://127\.0\.0\.1:(\d+)", running.text)
    assert said is not None

    second = DemoProcess(tmp_path, "--port", port := said[1])
    code = second.end()

    assert code == 1
    assert f"port {port} is taken" in second.text
