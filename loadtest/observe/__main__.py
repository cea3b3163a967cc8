"""Lets a real Prometheus watch two nodes through a wave with many faults:

    python -m loadtest.observe [--pictures FOLDER]

10 % of the calls fail and 1 % are accepted without an answer. One node is killed. The email service is away for half a
minute. Then every query of every dashboard must have an answer, and exactly the expected alerts must have fired,
else the exit code is 1. It takes about two minutes and needs `prometheus` on the PATH. Servers, nodes and Prometheus
are private, on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from actors.commands.sandbox.servers.ports import LOOPBACK, free_port
from grafana.queries import choices
from loadtest import servers
from loadtest.observe import findings, pictures, story
from loadtest.observe.prometheus import PrometheusServer
from loadtest.programs import last_word, node, program

READY_WITHIN = 30.0
"""Seconds until Prometheus sees every node."""


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def observe(executable: Path, folder: Path | None) -> bool:
    """Run the wave; return True if every query had an answer and exactly the expected alerts fired."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(servers.running(rabbitmq=False))
        rates = {"latency": story.LATENCY, "error-rate": story.ERROR_RATE, "accept-then-fail-rate": story.LOST_RATE}
        words = [word for name, value in rates.items() for word in (f"--{name}", str(value))]
        stub = await stack.enter_async_context(program("actors.commands.sandbox.email_stub", "--port", "0", *words))
        stub_url = await last_word(stub)
        dsn = await running.database()
        settings = {"EMAIL_URL": stub_url, "EMAIL_RATE": f"{story.RATE}/s", "LOG_LEVEL": "warning"}
        addresses = [f"{LOOPBACK}:{free_port()}" for _ in range(2)]
        nodes = [
            await stack.enter_async_context(
                node(
                    running,
                    dsn,
                    settings | {"BIND": address, "NODE_ID": f"node-{number}"},
                    log=running.place / f"node-{number}.log",
                )
            )
            for number, address in enumerate(addresses, start=1)
        ]
        prometheus = PrometheusServer(running.place / "prometheus", executable=executable, targets=addresses)
        await prometheus.start()
        stack.push_async_callback(prometheus.stop)
        async with asyncio.timeout(READY_WITHIN):
            while await prometheus.scraped() < len(nodes):
                await asyncio.sleep(0.2)
        say("Prometheus watches two nodes")
        times = await story.run(dsn, stub_url, f"http://{addresses[0]}", nodes[1], say)
        answers = await findings.ask_everything(prometheus, since=times.began, until=times.ended)
        empty = await findings.empty_choices(prometheus, since=times.began, until=times.ended)
        alerts = await findings.fired(prometheus, since=times.began, until=times.ended)
        good = judge(answers, empty, alerts)
        if folder is not None:
            pictures.draw_dashboards(answers, folder, due=times.due, marks=times.marks())
            pictures.draw_story(answers, folder / "overview.png", due=times.due, marks=times.marks())
        return good


def judge(answers: list[findings.Answer], empty_choices: list[str], alerts: set[str]) -> bool:
    """Print the findings; return True if they are as expected."""
    empty = findings.unanswered(answers) + empty_choices
    say(f"{len(answers)} queries and {len(choices())} variables, {len(empty)} without an answer")
    for question in empty:
        say(f"  no answer: {question}")
    for alert in sorted(alerts | story.FIRES.keys()):
        if alert not in alerts:
            say(f"  {alert} did not fire, although {story.FIRES[alert]}")
        elif alert not in story.FIRES:
            say(f"  {alert} fired unexpectedly")
        else:
            say(f"  {alert} fired: {story.FIRES[alert]}")
    return not empty and alerts == story.FIRES.keys()


def main() -> int:
    """Run the observation, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="plot every panel into PNG files there")
    args = parser.parse_args()
    if args.pictures is not None:
        args.pictures.mkdir(parents=True, exist_ok=True)
    executable = shutil.which("prometheus")
    if executable is None:
        say("prometheus is not on the PATH (on Debian: apt-get install prometheus)")
        return 1
    return 0 if uvloop.run(observe(Path(executable), args.pictures)) else 1


if __name__ == "__main__":
    sys.exit(main())
