"""Scenarios that run the other tools of loadtest, and `heyday chaos`, as commands."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from actors.commands.sandbox.servers.processes import death_signal_prefix
from loadtest import crowd, report, wave
from loadtest.bench import bench
from loadtest.cases import ACTORS, CALLS_OF_A_NODE, NODES, Case
from loadtest.figures import median
from loadtest.programs import node
from loadtest.stress.greetings import Greetings
from loadtest.stress.scenario import Check, Outcome, Setting, at_least, at_most, none
from service.domain.backpressure import HORIZON, UNMEASURED_ROOM

FAULTS = (
    *("kill-postgres", "restart-postgres", "exhaust-connections", "fill-disk"),
    *("kill-redis", "flush-redis", "fill-redis", "restart-rabbitmq", "delete-queue"),
    *("email-down", "email-slow", "kill-all-nodes", "starve-node"),
)
"""Faults of `heyday chaos` for servers, the email service, memory and disk."""

BIRTHDAYS = 10_000
BEGIN_IN = timedelta(seconds=25)
"""Time from the start of the preparations to 09:00, so that the node plans every user before."""

GREAT_DAY = 1_000_000

BACKLOG_RATE = 500
BACKLOG = 30_000

WORKERS_WAVE = 4_000


async def birthdays(_setting: Setting) -> Outcome:
    """Plan and send 10,000 birthdays of today with one node."""
    async with bench(keep=BIRTHDAYS + 1) as running, running.database() as dsn:
        greetings = Greetings(running, dsn, 0)
        connection = await asyncpg.connect(dsn)
        instant = (datetime.now(UTC) + BEGIN_IN).replace(microsecond=0)
        day = instant.date().replace(year=1988)
        await crowd.born(connection, BIRTHDAYS, together=BIRTHDAYS, timezone="UTC", day=day)
        await connection.execute("vacuum")
        await running.behave()
        greetings.due = BIRTHDAYS
        settings = {"EMAIL_URL": running.stub_url, "BIND": "127.0.0.1:0", "LOG_LEVEL": "error"}
        async with node(running.servers, dsn, settings | {"SEND_AT": f"{instant:%H:%M:%S}"}):
            await asyncio.sleep(max(0.0, (instant - datetime.now(UTC)).total_seconds()))
            planned = await connection.fetchval("select count(*) from messages where planned_at < $1", instant)
            books = await greetings.checks()
        await connection.close()
        verdict = await greetings.verdict()
    return Outcome(
        (
            at_least("planned before their due instant", planned, BIRTHDAYS),
            *books,
            at_most("last greeting after its due instant", verdict.latest.total_seconds(), 60, " s", digits=1),
        )
    )


async def planning(setting: Setting) -> Outcome:
    """Plan 1,000,000 birthdays of one day in one zone with one node, while its API is used."""
    words = ["--users", str(GREAT_DAY), "--together", str(GREAT_DAY)]
    code, said, figures = await _tool(setting, "planning", words)
    if figures is None:
        return _failed(code, said)
    return Outcome(
        (
            none("missing", figures["missing"]),
            none("twice", figures["twice"]),
            none("errors of the API meanwhile", figures["apiErrors"]),
            at_most("p99 of the API meanwhile", figures["apiP99During"] * 1000, 1_000, " ms"),
            at_least("planned per second", figures["perSecond"], 1_000),
            at_most("memory of the node", figures["memoryMegabytes"], 200, " MB"),
        ),
        said,
    )


async def bounded(setting: Setting) -> Outcome:
    """Make more due than leaves in half a minute, and more due meanwhile; the rest waits in PostgreSQL."""
    words = ["--messages", str(BACKLOG), "--rate", str(BACKLOG_RATE), "--others", "0.1", "--later", "0.1"]
    code, said, found = await _tool(setting, "backlog", [*words, "--plots", str(setting.place)])
    if found is None:
        return _failed(code, said)
    figures = found["figures"]
    bound = 1.5 * max(UNMEASURED_ROOM, HORIZON * BACKLOG_RATE)
    plots = tuple(setting.place / f"backlog-{name}.png" for name in ("queue", "stream", "memory", "accepted"))
    return Outcome(
        (
            Check("exit code of loadtest.backlog", str(code), "0", code == 0),
            none("lost", figures["lost"]),
            none("twice", figures["twice"]),
            none("early", figures["early"]),
            at_most("messages on their way (45 s of work)", figures["onTheirWay"], bound),
            at_most("a greeting overtaken by one due later", figures["overtakenSeconds"], HORIZON, " s", digits=1),
            at_most("memory of the node (VmHWM)", figures["peakMebibytes"], 200, " MiB"),
        ),
        said,
        plots,
    )


async def workers(setting: Setting) -> Outcome:
    """Run waves with 1, 5, 10 and 20 delivery actors of one node, with answers after 50 ms."""
    slow = Case(WORKERS_WAVE, latency=0.05)
    return await _waves(setting, "workers", [replace(slow, actors=actors) for actors in ACTORS])


async def nodes(setting: Setting) -> Outcome:
    """Run waves with 1, 2 and 4 nodes, each with 50 concurrent calls that take 50 ms."""
    one = Case(WORKERS_WAVE, latency=0.05, calls=CALLS_OF_A_NODE)
    return await _waves(setting, "nodes", [replace(one, nodes=count) for count in NODES])


async def _waves(setting: Setting, name: str, cases: Sequence[Case]) -> Outcome:
    measured = await wave.measure(cases, 1)
    found = wave.faults(measured)
    rates = [median(rounds, "heyday", "perSecond") for _, rounds in measured]
    plot = report.bars(
        setting.place / f"{name}.png", "greetings a second", [case.name for case in cases], {"heyday": rates}
    )
    checks = (
        Check("lost, twice or early", "; ".join(found) or "0", "0", not found),
        at_least("greetings per second of the slowest", min(rates), 100),
    )
    return Outcome(checks, report.table(measured), (plot,))


async def failures(setting: Setting) -> Outcome:
    """Let database, Redis, RabbitMQ, email service, memory and disk fail in a wave, one after another."""
    words = ["chaos", "--nodes", "3", "--greetings", "1500", "--faults", ",".join(FAULTS)]
    code, said, found = await _figures("actors.cli", words, setting.place / "failures.json")
    if found is None:
        return _failed(code, said)
    slow = [fault["name"] for fault in found["faults"] if fault["recovered"] is None]
    checks = (
        *(none(what, found[what]) for what in ("lost", "twice", "early", "notOnRecord", "actorCrashes")),
        Check("faults not recovered from", ", ".join(slow) or "0", "0", not slow),
        Check("nodes that did not drain", ", ".join(found["notDrained"]) or "0", "0", not found["notDrained"]),
        Check("heyday chaos", "passed" if found["passed"] else "failed", "passed", bool(found["passed"])),
    )
    lines = ["| fault | recovered within, s | longest pause, s | hit |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {one['name']} | {'never' if one['recovered'] is None else format(one['recovered'], '.1f')} "
        f"| {one['pause']:.1f} | {'; '.join([one['hit'], *one['problems']])} |"
        for one in found["faults"]
    ]
    lines += [f"| {one['name']} | not rehearsed: {one['reason']} | | |" for one in found["notRehearsed"]]
    lines += [f"| {one['name']} | met nothing: {one['reason']} | | |" for one in found["metNothing"]]
    return Outcome(checks, "\n".join([*lines, "", f"Again: `{found['command']}`"]))


async def _tool(setting: Setting, module: str, words: Sequence[str]) -> tuple[int, str, Any]:
    """Return the exit code of a tool, its output, and its figures (None if it wrote none)."""
    return await _figures(f"loadtest.{module}", words, setting.place / f"{module}.json")


async def _figures(module: str, words: Sequence[str], file: Path) -> tuple[int, str, Any]:
    """Run a module that writes its figures to `file`. Those of an earlier run do not count."""
    await asyncio.to_thread(file.unlink, missing_ok=True)
    code, said = await _run(module, [*words, "--json", str(file)])
    return code, said, await asyncio.to_thread(_read, file)


def _read(file: Path) -> Any:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return json.loads(text) if text else None


async def _run(module: str, words: Sequence[str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *death_signal_prefix(signal.SIGTERM),
        sys.executable,
        "-m",
        module,
        *words,
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()


def _failed(code: int, said: str) -> Outcome:
    return Outcome((Check("exit code", str(code), "0, with figures", good=False),), said)
