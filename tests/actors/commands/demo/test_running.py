"""What can be seen from beside a running demo: its servers, and whom it keeps out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no annotations
import pytest

from tests.demo.told import LINE, ROOT, Told


@pytest.fixture(scope="module")
def running() -> Iterator[Told]:
    """A demo in which it has become 09:00 somewhere."""
    place = Path(tempfile.mkdtemp(prefix="heyday-demo-"))
    place.chmod(0o711)  # the account that servers run as when we are root has to pass
    told = Told(place)
    told.until(LINE)
    yield told
    told.kill()
    shutil.rmtree(place)


def test_servers_never_run_as_root_and_on_loopback_only(running: Told) -> None:
    """PostgreSQL refuses, Redis should; and nobody else on the network has any business there."""
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


def test_a_real_node_refuses_its_database(running: Told) -> None:
    """A business clock that runs thousands of times too fast would greet real people on the wrong day."""
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
        timeout=30,
        check=False,
    )

    assert node.returncode == 3
    assert "belongs to a demo or a rehearsal" in node.stderr


def test_a_second_demo_in_the_same_place_is_refused_and_harms_nothing(running: Told) -> None:
    """It would take the first one's node for a left-over."""
    second = Told(running.place, "--fresh")
    code = second.end()

    assert code == 1
    assert "is in use" in second.text
    running.until(LINE)
    assert any(process.name() == "postgres" for process in running.running())


def test_a_port_that_is_taken_is_told(running: Told, tmp_path: Path) -> None:
    """A line for a person, and nothing started."""
    said = re.search(r"node +http://127\.0\.0\.1:(\d+)", running.text)
    assert said is not None

    second = Told(tmp_path, "--port", port := said[1])
    code = second.end()

    assert code == 1
    assert f"port {port} is taken" in second.text
