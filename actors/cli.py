"""The command line `heyday`: one sub-command a job, each reading its settings from the environment."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from urllib.parse import urlsplit

from actors.facts import Fact, Witness, die_after, nobody
from service.settings import BadConfiguration, Settings, is_loopback, read, read_calendar, read_database_url

OK = 0
FAILED = 1
BAD_CONFIGURATION = 2
REFUSED = 3
"""Exit codes: done; something went wrong; the configuration has mistakes; this database is not one to work with."""


def main(arguments: list[str] | None = None) -> int:
    """Run the sub-command that was asked for, and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    args = _parser(words).parse_args(words)
    try:
        code: int = args.command(args)
    except BadConfiguration as error:
        _say("heyday: the configuration has mistakes:", *error.mistakes)
        return BAD_CONFIGURATION
    except KeyboardInterrupt:
        return FAILED
    return code


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="heyday", description="Greets every user once, at 09:00, on their days.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, function: Callable[[argparse.Namespace], int], text: str, *, options: str = ""
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=function)
        # Only what was asked for is loaded: container engines ask for `health` every few seconds.
        if options and name in words:
            module, _, add_arguments = options.partition(":")
            getattr(import_module(module), add_arguments)(added)
        return added

    run = command("run", _run, "one node: every actor, until SIGTERM or SIGINT drains it")
    run.add_argument(
        "--rehearsal",
        action="store_true",
        help="accept a database whose business clock was moved; only with an email service on a loopback address",
    )
    run.add_argument(
        "--die-after",
        metavar="FACT[:N]",
        type=_death,
        default=nobody,
        help="rehearse a crash: die as by kill -9 once FACT was left for the N-th time; FACT is one of "
        + ", ".join(Fact),
    )
    command("migrate", _migrate, "applies schema/ to HEYDAY_DATABASE_URL; safe from many nodes at once")
    command("when", _when, "calendar only: NDJSON of occasion, date, timezone, year on stdin; instants on stdout")

    stub = "a fake email service with errors, hangs and lost connections"
    command("email-stub", _email_stub, stub, options="service.email_stub:add_arguments")
    window = "dry run of a window: who gets what when, who is left out and why"
    command("preview", _preview, window, options="actors.commands.options:add_preview_arguments")
    why = "why a user was or was not greeted, and what will happen next"
    command("explain", _explain, why, options="actors.commands.options:add_explain_arguments")
    again = "sends again what failed, is unknown or has expired"
    command("redrive", _redrive, again, options="actors.commands.options:add_redrive_arguments")
    check = "checks configuration and every dependency; adopts a database"
    command("doctor", _doctor, check, options="actors.doctor.options:add_arguments")
    lives = "asks the node on this machine whether it lives, or is ready"
    command("health", _health, lives, options="actors.commands.health:add_arguments")
    watch = "watch 09:00 travel around the world, on servers of its own in .heyday/"
    command("demo", _demo, watch, options="actors.demo.options:add_arguments")
    worst = "rehearse the worst: nodes and servers that fail, and a verdict"
    command("chaos", _chaos, worst, options="actors.chaos.options:add_arguments")
    return parser


def _run(args: argparse.Namespace) -> int:
    import structlog

    from actors.node import Node, Refused
    from actors.outside import servers
    from actors.runtime import TooManyRestarts
    from actors.serving import serve
    from service.telemetry.logs import configure
    from service.telemetry.tracing import start

    settings = read(os.environ)
    if args.rehearsal:
        _only_where_nobody_is_greeted(settings)

    async def work(stop: asyncio.Event) -> int:
        tracing = start(settings)
        ids = tracing.ids if tracing.on else None
        configure(settings.log_level, settings.log_format, ids=ids, node=settings.node_id)
        outside = partial(servers, tracing=tracing)
        try:
            node = Node(settings, witness=args.die_after, rehearsal=args.rehearsal, outside=outside, tracing=tracing)
            clean = await node.run(stop)
        except Refused as refused:
            _say(f"heyday: {refused}")
            return REFUSED
        except TooManyRestarts as error:
            _say(f"heyday: {error}")
            return FAILED
        except Exception as error:
            # The interpreter would write out its text, which may quote anybody.
            structlog.get_logger(__name__).critical("ended_by_a_bug", exc_info=error)
            return FAILED
        finally:
            await tracing.close()
        return OK if clean else FAILED

    return serve(work)


def _only_where_nobody_is_greeted(settings: Settings) -> None:
    host = urlsplit(settings.email_url).hostname or ""
    if not is_loopback(host):
        raise BadConfiguration([f"--rehearsal: expected HEYDAY_EMAIL_URL on a loopback address, not on {host!r}"])


def _death(text: str) -> Witness:
    fact, _, times = text.partition(":")
    return die_after(Fact(fact), int(times or 1))


def _migrate(_args: argparse.Namespace) -> int:
    from service.adapters.postgres.migrations import MigrationChanged, migrate
    from service.ports import Unavailable

    try:
        applied = asyncio.run(migrate(read_database_url(os.environ)))
    except (Unavailable, MigrationChanged) as error:
        _say(f"heyday: {error}")
        return FAILED
    print(*(f"applied {name}" for name in applied) if applied else ("nothing to apply",), sep="\n")  # noqa: T201
    return OK


def _when(_args: argparse.Namespace) -> int:
    from service.when import run

    at, leap_day = read_calendar(os.environ)
    return run(sys.stdin.buffer, sys.stdout.buffer, at=at, leap_day=leap_day)


def _email_stub(args: argparse.Namespace) -> int:
    import uvloop

    from service.email_stub import run

    uvloop.run(run(args))
    return OK


def _preview(args: argparse.Namespace) -> int:
    from actors.commands.preview import run

    return run(args, os.environ)


def _explain(args: argparse.Namespace) -> int:
    from actors.commands.explain import run

    return run(args, os.environ)


def _redrive(args: argparse.Namespace) -> int:
    from actors.commands.redrive import run

    return run(args, os.environ)


def _doctor(args: argparse.Namespace) -> int:
    from actors.doctor.command import run

    return run(args, os.environ)


def _health(args: argparse.Namespace) -> int:
    from actors.commands.health import run

    well, text = run(args, os.environ)
    print(text, file=sys.stdout if well else sys.stderr)
    return OK if well else FAILED


def _demo(args: argparse.Namespace) -> int:
    try:
        from actors.demo.command import run
    except ModuleNotFoundError as error:
        _say(f"heyday: the demo needs {error.name}, which comes with: pip install 'heyday[embedded]'")
        return FAILED
    return run(args)


def _chaos(args: argparse.Namespace) -> int:
    try:
        from actors.chaos.command import run
    except ModuleNotFoundError as error:
        _say(f"heyday: chaos needs {error.name}, which comes with: pip install 'heyday[embedded]'")
        return FAILED
    return run(args)


def _say(*lines: str) -> None:
    print(*lines, sep="\n  ", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
