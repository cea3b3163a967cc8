"""`heyday chaos` as a process: real nodes and servers, short faults, a verdict and an exit code."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from actors.commands.sandbox.servers.processes import strays
from tests.servers import data_directory

ROOT = Path(__file__).parents[4]
REHEARSAL_TIMEOUT = 280

SERVERS = {"postgres", "valkey-server", "redis-server", "beam.smp", "epmd"}


def rehearse(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with these settings and no others."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HEYDAY_")}
    return subprocess.run(
        [sys.executable, "-m", "actors.cli", "chaos", *words],
        cwd=ROOT,
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=REHEARSAL_TIMEOUT,
        check=False,
    )


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory for its logs. It is not private, because as root the servers have another account."""
    path = data_directory()
    yield path
    shutil.rmtree(path)


@pytest.mark.nightly
def test_a_rehearsal_with_faults_passes_and_loses_no_greeting(place: Path) -> None:
    """A short rehearsal with every part of a long one.

    Where the service is at fault, messages wait. Only a service that refuses all may end a few of them.
    """
    faults = ["kill-all-nodes", "email-accept-then-fail", "email-wrong-key", "email-refuse-all"]
    report = place / "report.json"

    done = rehearse(
        *("--nodes", "2", "--greetings", "150", "--seed", "5", "--faults", ",".join(faults)),
        *("--json", str(report), "--directory", str(place / "logs")),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout
    found = json.loads(report.read_text())
    assert (found["passed"], found["planned"], found["sent"] + found["failed"]) == (True, 150, 150)
    assert (found["lost"], found["early"], found["twice"], found["notOnRecord"]) == (0, 0, 0, 0)
    assert sorted(fault["name"] for fault in found["faults"]) == sorted(faults)
    assert all(fault["recovered"] is not None for fault in found["faults"])
    # A message whose accepting answer was lost may be refused when it is repeated.
    assert found["sent"] <= found["acceptances"] - found["repeatedAfterUnknownOutcome"] <= 150
    # Each fault is during the wave.
    assert all(0 < fault["left"] <= 150 for fault in found["faults"])
    assert {path.name for path in (place / "logs").iterdir()} >= {"node-1.log", "node-2.log", "postgresql.log"}
    assert strays(place.resolve(), SERVERS) == []


@pytest.mark.nightly
async def test_a_rehearsal_that_loses_greetings_fails_and_keeps_its_logs(database: str, redis_url: str) -> None:
    """Held messages with an unknown outcome were not sent, and the verdict must show it."""
    done = await asyncio.to_thread(
        rehearse,
        *("--servers", "environment", "--nodes", "1", "--greetings", "30", "--seed", "1"),
        *("--faults", "email-accept-then-fail"),
        HEYDAY_DATABASE_URL=database,
        HEYDAY_REDIS_URL=redis_url,
        HEYDAY_UNKNOWN_OUTCOME="hold",
        HEYDAY_EMAIL_CONCURRENCY="4",
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED" in done.stdout
    logs = Path(next(line.split()[1] for line in done.stdout.splitlines() if line.startswith(" logs ")))
    found = json.loads((logs / "verdict.json").read_text())
    assert found["lost"] > 0
    assert {one["message"]["status"] for one in found["suspects"]} == {"unknown"}
    assert "--seed 1" in done.stdout
    shutil.rmtree(logs)


def test_mistakes_in_the_configuration_are_reported_before_anything_starts() -> None:
    """They are reported as by `heyday run`."""
    done = rehearse("--servers", "environment", HEYDAY_EMAIL_TIMEOUT="soon")

    assert done.returncode == 2
    assert "HEYDAY_EMAIL_TIMEOUT" in done.stderr
    assert "HEYDAY_DATABASE_URL is not set" in done.stderr


@pytest.mark.timeout(2 * REHEARSAL_TIMEOUT)
async def test_given_servers_are_used_and_not_harmed(database: str, redis_url: str, tmp_path: Path) -> None:
    """On a staging cluster, faults that others would notice are left out and listed."""
    given = {"HEYDAY_DATABASE_URL": database, "HEYDAY_REDIS_URL": redis_url}
    report = tmp_path / "report.json"
    words = ("--servers", "environment", "--nodes", "1", "--greetings", "40", "--seed", "2", "--json", str(report))
    faults = "--faults=flush-redis,email-accept-then-fail,delete-queue,restart-rabbitmq"

    done = await asyncio.to_thread(rehearse, *words, faults, **given)
    verdict = report.read_text()
    again = await asyncio.to_thread(rehearse, *words, faults, **given)

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(verdict)
    assert sorted(one["name"] for one in found["faults"]) == ["delete-queue", "email-accept-then-fail"]
    assert [one["name"] for one in found["notRehearsed"]] == ["flush-redis", "restart-rabbitmq"]
    # Now the database has users and messages.
    assert again.returncode == 1, again.stdout + again.stderr
    assert "40 users, 40 messages" in again.stdout
    assert report.read_text() == ""


def test_below_a_private_directory_no_data_is_left_and_its_disks_are_left_out(tmp_path: Path) -> None:
    """The account of the servers cannot reach such a directory, such as one below /root."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)

    done = rehearse("--faults", "fill-disk,cut-power", "--directory", str(private / "logs"))

    assert done.returncode == 1, done.stdout + done.stderr
    assert " not rehearsed: cut-power: " in done.stdout
    assert " not rehearsed: fill-disk: " in done.stdout
    assert "no fault is possible here" in done.stdout
    assert {path.name for path in (private / "logs").iterdir()} >= {"postgresql.log", "redis.log"}
    assert [path for path in (private / "logs").iterdir() if path.suffix != ".log"] == []


async def test_a_database_with_users_is_refused_before_anything_is_changed(
    database: str, redis_url: str, tmp_path: Path
) -> None:
    """The schema must not change: production may be a version behind. There are no logs, so no directory is left."""
    connection = await asyncpg.connect(database)
    await connection.execute(
        "insert into users (first_name, last_name, email, email_key, timezone) "
        "values ('Ada', 'Lovelace', 'a@a.test', 'a@a.test', 'UTC'); "
        "delete from schema_migrations where number = (select max(number) from schema_migrations)"
    )
    before = await connection.fetchval("select count(*) from schema_migrations")

    environment = {"HEYDAY_DATABASE_URL": database, "HEYDAY_REDIS_URL": redis_url, "TMPDIR": str(tmp_path)}
    done = await asyncio.to_thread(rehearse, "--servers", "environment", **environment)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 users" in done.stdout
    assert " logs " not in done.stdout
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []
    assert await connection.fetchval("select count(*) from schema_migrations") == before
    await connection.close()
