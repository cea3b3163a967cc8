"""A real Prometheus watches two nodes through a wave in which everything goes wrong:

    python -m loadtest.observe [--pictures FOLDER]

Of the calls 10 % fail and 1 % are accepted without an answer, one node is killed, the email service is away for half a
minute. Then every query of every dashboard has to have an answer, and the alerts that should fire have fired, and no
other. Exit code 1 if not. It takes about two minutes and needs `prometheus` on the PATH; servers, nodes and Prometheus
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

from grafana.queries import choices
from loadtest import servers
from loadtest.observe import findings, pictures, story
from loadtest.observe.prometheus import PrometheusServer
from loadtest.programs import last_word, node, program
from service.embedded.ports import LOOPBACK, free_port

READY_WITHIN = 30.0
"""Seconds until Prometheus sees every node."""


def say(text: str) -> None:
    """Tell whoever watches."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def observe(executable: Path, folder: Path | None) -> bool:
    """Whether everything was as it should be."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(servers.running(rabbitmq=False))
        rates = {"latency": story.LATENCY, "error-rate": story.ERROR_RATE, "accept-then-fail-rate": story.LOST_RATE}
        words = [word for name, value in rates.items() for word in (f"--{name}", str(value))]
        stub = await stack.enter_async_context(program("service.email_stub", "--port", "0", *words))
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
        say("two nodes are watched")
        told = await story.tell(dsn, stub_url, f"http://{addresses[0]}", nodes[1], say)
        answers = await findings.ask_everything(prometheus, since=told.began, until=told.ended)
        empty = await findings.empty_choices(prometheus, since=told.began, until=told.ended)
        alerts = await findings.fired(prometheus, since=told.began, until=told.ended)
        good = judge(answers, empty, alerts)
        if folder is not None:
            pictures.draw_dashboards(answers, folder, due=told.due, marks=told.marks())
            pictures.draw_story(answers, folder / "overview.png", due=told.due, marks=told.marks())
        return good


def judge(answers: list[findings.Answer], empty_choices: list[str], alerts: set[str]) -> bool:
    """Say what was found, and whether it is as it should be."""
    empty = findings.unanswered(answers) + empty_choices
    say(f"{len(answers)} queries and {len(choices())} variables, {len(empty)} without an answer")
    for question in empty:
        say(f"  no answer: {question}")
    for alert in sorted(alerts | story.FIRES.keys()):
        if alert not in alerts:
            say(f"  {alert} did not fire, though {story.FIRES[alert]}")
        elif alert not in story.FIRES:
            say(f"  {alert} fired, and should not have")
        else:
            say(f"  {alert} fired: {story.FIRES[alert]}")
    return not empty and alerts == story.FIRES.keys()


def main() -> int:
    """Observe, and say what was seen."""
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
