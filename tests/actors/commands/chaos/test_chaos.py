"""`heyday chaos` from the outside: whole nodes and real servers, quick faults, a verdict and an exit code."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from service.embedded.processes import strays

ROOT = Path(__file__).parents[2]
WITHIN = 110

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
        timeout=WITHIN,
        check=False,
    )


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Where it keeps its logs; the account that servers run as when we are root has to pass."""
    with tempfile.TemporaryDirectory(prefix="heyday-chaos-test-") as made:
        path = Path(made)
        path.chmod(0o711)
        yield path


def test_faults_that_hit_a_wave_lose_nobody_and_the_verdict_says_so(place: Path) -> None:
    """The whole of it, in small: every part that a longer rehearsal has."""
    faults = ["kill-all-nodes", "flush-redis", "email-accept-then-fail"]
    report = place / "report.json"

    done = rehearse(
        *("--nodes", "2", "--greetings", "150", "--seed", "5", "--faults", ",".join(faults)),
        *("--json", str(report), "--directory", str(place / "logs")),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED" in done.stdout
    found = json.loads(report.read_text())
    assert (found["passed"], found["planned"], found["sent"]) == (True, 150, 150)
    assert (found["lost"], found["early"], found["twice"], found["notOnRecord"]) == (0, 0, 0, 0)
    assert sorted(fault["name"] for fault in found["faults"]) == sorted(faults)
    assert all(fault["recovered"] is not None for fault in found["faults"])
    assert found["accepted"] == 150 + found["repeatedAfterUnknownOutcome"]
    # In the middle of the wave, not before or after it.
    assert all(0 < fault["left"] <= 150 for fault in found["faults"])
    assert {path.name for path in (place / "logs").iterdir()} >= {"node-1.log", "node-2.log", "postgresql.log"}
    assert strays(place.resolve(), SERVERS) == []


def test_a_configuration_that_does_not_hold_fails_and_keeps_its_logs() -> None:
    """One attempt a greeting, and a service that fails: some are lost, and the verdict has to see it."""
    done = rehearse(
        *("--nodes", "1", "--greetings", "30", "--seed", "1", "--faults", "email-down"),
        HEYDAY_EMAIL_ATTEMPTS="1",
        HEYDAY_CIRCUIT_FAILURES="1000",
        HEYDAY_EMAIL_CONCURRENCY="4",
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED" in done.stdout
    logs = Path(next(line.split()[1] for line in done.stdout.splitlines() if line.startswith(" logs ")))
    found = json.loads((logs / "verdict.json").read_text())
    assert found["lost"] > 0
    assert {one["message"]["status"] for one in found["suspects"]} == {"failed"}
    assert "--seed 1" in done.stdout
    for path in logs.iterdir():
        path.unlink()
    logs.rmdir()


def test_mistakes_in_the_configuration_are_told_before_anything_starts() -> None:
    """As `heyday run` tells them."""
    done = rehearse("--servers", "environment", HEYDAY_EMAIL_TIMEOUT="soon")

    assert done.returncode == 2
    assert "HEYDAY_EMAIL_TIMEOUT" in done.stderr
    assert "HEYDAY_DATABASE_URL is not set" in done.stderr


async def test_servers_that_are_given_are_used_and_not_harmed(database: str, redis_url: str, tmp_path: Path) -> None:
    """A staging cluster: what others would feel is left out, and said."""
    given = {"HEYDAY_DATABASE_URL": database, "HEYDAY_REDIS_URL": redis_url}
    report = tmp_path / "report.json"
    words = ("--servers", "environment", "--nodes", "1", "--greetings", "40", "--seed", "2", "--json", str(report))
    faults = "--faults=flush-redis,email-accept-then-fail,purge-queue,restart-rabbitmq"

    done = await asyncio.to_thread(rehearse, *words, faults, **given)
    again = await asyncio.to_thread(rehearse, *words, faults, **given)

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert sorted(one["name"] for one in found["faults"]) == ["email-accept-then-fail", "purge-queue"]
    assert [one["name"] for one in found["notRehearsed"]] == ["flush-redis", "restart-rabbitmq"]
    # Now it is a database with users and messages: it could be anybody's.
    assert again.returncode == 3, again.stdout + again.stderr
    assert "40 users, 40 messages" in again.stdout


async def test_a_database_of_somebody_is_refused_before_anything_is_changed(database: str, redis_url: str) -> None:
    """Not even the schema: production may be a version behind."""
    connection = await asyncpg.connect(database)
    await connection.execute(
        "insert into users (first_name, last_name, email, email_key, timezone) "
        "values ('Ada', 'Lovelace', 'a@a.test', 'a@a.test', 'UTC'); "
        "delete from schema_migrations where number = (select max(number) from schema_migrations)"
    )
    before = await connection.fetchval("select count(*) from schema_migrations")

    environment = {"HEYDAY_DATABASE_URL": database, "HEYDAY_REDIS_URL": redis_url}
    done = await asyncio.to_thread(rehearse, "--servers", "environment", **environment)

    assert done.returncode == 3, done.stdout + done.stderr
    assert "1 users" in done.stdout
    assert await connection.fetchval("select count(*) from schema_migrations") == before
    await connection.close()
