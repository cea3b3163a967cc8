"""Measures waves of greetings due at one instant, beside a bare loop that makes the same calls and stores nothing.

    python -m loadtest.wave --greetings 10000 --rounds 5
    python -m loadtest.wave --matrix --rounds 5 --json waves.json --plots plots
    python -m loadtest.wave --matrix --only "calls at a time|at most" --rounds 5

Both are measured alternately on the same servers: PostgreSQL from the wheel with durable data, Redis from the
wheel, and RabbitMQ as installed (without it, or with --stream, the delivery queue is a Redis stream). The rate counts
greetings that are sent and recorded: their number divided by the time from the due instant to the last record. With
--matrix it runs all kinds of answers, both queues, 1, 2 and 4 nodes, 1 to 20 delivery actors, and HEYDAY_EMAIL_RATE.
A greeting lost, accepted twice or early, or a rate off by more than 2 %, gives exit code 1.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import uvloop

from actors.commands.sandbox.servers.rabbitmq import installed_sbin
from loadtest import bare, node_wave, report
from loadtest.bench import bench
from loadtest.cases import Case, matrix
from loadtest.figures import Round, median, ratios

RATE_WITHIN = 0.02
"""Relative difference that the rate of calls may have from HEYDAY_EMAIL_RATE."""


async def measure(cases: Sequence[Case], rounds: int) -> list[tuple[Case, list[Round]]]:
    """Return the figures of every round of every case: bare loop and heyday alternate, and so do the cases."""
    found: list[tuple[Case, list[Round]]] = [(case, []) for case in cases]
    async with bench(rabbitmq=not all(case.stream for case in cases)) as running:
        for number in range(rounds):
            for case, measured in found:
                one = {"bare": await bare.wave(running, case), "heyday": await node_wave.wave(running, case)}
                measured.append(one)
                sys.stderr.write(f"round {number + 1}: {case.name}: {json.dumps(one)}\n")
    return found


def faults(measured: report.Measured) -> list[str]:
    """Return the violated conditions as text."""
    found = []
    for case, rounds in measured:
        counts = {figure: sum(one["heyday"][figure] for one in rounds) for figure in ("lost", "twice", "early")}
        found += [f"{case.name}: {count:.0f} {figure}" for figure, count in counts.items() if count]
        if case.rate is not None and abs(kept := median(rounds, "heyday", "evenRate") / case.rate - 1) > RATE_WITHIN:
            found.append(f"{case.name}: the rate is off by {kept:+.1%}")
    return found


def as_json(measured: report.Measured) -> str:
    """Return every figure of every round as JSON, and the ratios that loadtest/guard.py compares."""
    return json.dumps(
        [
            {
                "name": case.name,
                "case": asdict(case),
                "ratios": ratios(rounds, "perSecond"),
                "cpuRatios": ratios(rounds, "nodeMicroseconds"),
                "rounds": rounds,
            }
            for case, rounds in measured
        ],
        indent=1,
    )


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--greetings", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--actors", type=int, help="delivery actors of a node")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that the email service takes for a call")
    parser.add_argument("--errors", type=float, default=0.0, help="share of the calls that it answers with an error")
    parser.add_argument("--stream", action="store_true", help="the delivery queue is a Redis stream")
    parser.add_argument("--rate", type=float, help="HEYDAY_EMAIL_RATE, calls per second over all nodes")
    parser.add_argument("--calls", type=int, help="HEYDAY_EMAIL_CONCURRENCY of each node")
    parser.add_argument("--matrix", action="store_true", help="every kind of wave, with this number of greetings each")
    parser.add_argument("--only", type=re.compile, help="with --matrix: only kinds whose name matches this pattern")
    parser.add_argument("--json", type=Path, help="write every round's figures to this file")
    parser.add_argument("--table", type=Path, help="write the Markdown table to this file, too")
    parser.add_argument("--plots", type=Path, help="draw plots into this directory")
    args = parser.parse_args()
    stream = args.stream or installed_sbin() is None
    one = Case(args.greetings, args.nodes, args.actors, args.latency, args.errors, stream, args.rate, args.calls)
    cases = matrix(args.greetings) if args.matrix else [one]
    if args.only:
        cases = [case for case in cases if args.only.search(case.name)]
    if installed_sbin() is None:
        cases = [case for case in cases if case.stream]
    if not cases:
        parser.error("no kind of wave matches --only here")
    measured = uvloop.run(measure(cases, args.rounds))
    text = report.table(measured)
    sys.stdout.write(text)
    if args.json:
        args.json.write_text(as_json(measured), encoding="utf-8")
    if args.table:
        args.table.write_text(text, encoding="utf-8")
    if args.plots:
        report.plots(measured, args.plots)
    if found := faults(measured):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
