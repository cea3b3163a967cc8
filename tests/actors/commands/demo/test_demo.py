"""`heyday demo` from the outside, with real servers: what it shows, keeps, survives and leaves behind."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.commands.demo.cities import CITIES
from actors.commands.sandbox.servers.account import Account
from tests.actors.commands.demo.demo_process import LINE, DemoProcess
from tests.servers import data_directory
from tests.stopwatch import Stopwatch

Tell = Callable[..., DemoProcess]

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture(scope="module")
def once() -> Iterator[DemoProcess]:
    """The output of a demo that ran once in a new directory. The tests after it use the data that it left."""
    place = data_directory()
    told = DemoProcess(place, "--once")
    code = told.end()
    assert code == 0, told.text
    yield told
    told.kill()
    shutil.rmtree(place)


@pytest.fixture
def tell(once: DemoProcess) -> Iterator[Tell]:
    """Starts the demo again in that directory. After the test, no process of it is left."""
    begun: list[DemoProcess] = []

    def start(*words: str) -> DemoProcess:
        begun.append(DemoProcess(once.place, *words))
        return begun[-1]

    yield start
    for told in begun:
        told.kill()


def figures(told: DemoProcess) -> dict[str, int]:
    """The figures of the summary."""
    found = re.findall(r"^ ([a-z][a-z ]+?) +(\d+)(?:  |$)", told.text, re.MULTILINE)
    return {name: int(figure) for name, figure in found}


def test_a_day_is_shown_and_summed_up(once: DemoProcess) -> None:
    """Every user is greeted once and not early, although one call in eight fails."""
    found = figures(once)

    assert found["due by calendar"] == found["planned"] == found["sent"] == 60
    assert found["lost"] == found["early"] == found["duplicates"] == found["not on record"] == 0
    assert f"09:00 once in {len(CITIES)} cities" in once.text


def test_without_a_terminal_it_writes_plain_lines(once: DemoProcess) -> None:
    """The log of a build server must be readable: at most a line for each business hour, no escape sequences."""
    progress = [line for line in once.lines if re.match(LINE, line)]

    assert "\x1b" not in once.text
    hours = [line[:9] for line in progress]
    assert len(hours) == len(set(hours))
    assert len(hours) >= 6


def test_nothing_is_left_running(once: DemoProcess) -> None:
    """Neither a server nor the node."""
    assert once.outlasting(0) == []


def test_it_goes_on_from_where_it_stopped_and_ctrl_c_drains_it(once: DemoProcess, tell: Tell) -> None:
    """Users and business time are kept. The clock never goes backwards, and stops while no demo runs."""
    told = tell()
    told.until(LINE)

    watch = Stopwatch()
    told.send(signal.SIGINT)
    code = told.end()

    assert watch.seconds() < 10
    assert code == 0
    assert "drained and stopped" in told.text
    assert told.outlasting(0) == []
    kept = re.search(r"(\d+) were there before", told.text)
    assert kept is not None
    assert int(kept[1]) >= 60
    assert "kept from before" in told.text
    # It stopped after the end of its first day, once the last greeting was done, and not a day later.
    assert told.clock - once.clock >= timedelta(days=1)
    assert told.clock - _last_shown(once) < timedelta(days=1)


@pytest.mark.nightly
def test_after_a_kill_nothing_runs_on_and_the_next_start_is_not_blocked(tell: Tell) -> None:
    """After kill -9, no unknown server runs, and the clock has not gone back."""
    told = tell()
    told.until(LINE)
    told.until(LINE)

    told.send(signal.SIGKILL)
    told.end()
    left = told.outlasting(10)
    after = tell("--once")
    code = after.end()

    if sys.platform == "linux":
        assert left == []
    assert code == 0, after.text
    assert figures(after)["lost"] == figures(after)["duplicates"] == 0
    assert after.clock >= _last_shown(told)


@pytest.mark.nightly
def test_a_second_ctrl_c_is_quicker_and_leaves_nothing_either(tell: Tell) -> None:
    """A second signal ends the wait for the drain."""
    told = tell()
    told.until(LINE)

    told.send(signal.SIGINT)
    told.until("draining the node")
    told.send(signal.SIGINT)
    code = told.end()

    assert code in {0, 128 + signal.SIGINT}  # 0 where the drain was quicker than the second signal
    assert told.outlasting(0) == []


def test_ctrl_c_while_it_starts_leaves_nothing(tell: Tell) -> None:
    """A start can be cancelled."""
    told = tell()
    told.until("heyday demo")

    told.send(signal.SIGINT)
    code = told.end()

    assert code == 0
    assert told.outlasting(0) == []


def test_a_fresh_demo_has_no_users_of_earlier_ones(tell: Tell) -> None:
    """--fresh deletes the data of earlier demos."""
    told = tell("--fresh")

    said = told.until("people +60 signed up")

    assert "were there before" not in said.string
    assert "migrations applied" in told.text


@pytest.mark.skipif(os.geteuid() != 0, reason="we are a plain user, so every other test here shows it")
def test_a_plain_user_can_run_it() -> None:
    """The demo must not need root."""
    place = Path(tempfile.mkdtemp(prefix="heyday-demo-"))
    os.chown(place, NOBODY.pw_uid, NOBODY.pw_gid)
    ids = ["--reuid", str(NOBODY.pw_uid), "--regid", str(NOBODY.pw_gid), "--clear-groups"]
    if not Account(NOBODY.pw_uid, NOBODY.pw_gid).reaches(Path(sys.executable)):
        # This Python is below /root: the user may read what root may, and nothing else.
        ids += ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]

    told = DemoProcess(place, "--once", prefix=("setpriv", *ids), HOME=str(place))
    code = told.end()

    try:
        assert code == 0, told.text
        assert figures(told)["sent"] == 60
        assert {entry.stat().st_uid for entry in (place / ".heyday").iterdir()} == {NOBODY.pw_uid}
    finally:
        told.kill()
        shutil.rmtree(place)


def _last_shown(told: DemoProcess) -> datetime:
    """The business time of the last line of progress, which has no year."""
    text = [line for line in told.lines if re.match(LINE, line)][-1][:12]
    at = datetime.strptime(f"{told.clock.year} {text}", "%Y %d %b %H:%M").replace(tzinfo=UTC)
    return at if at >= told.clock - timedelta(days=1) else at.replace(year=at.year + 1)
