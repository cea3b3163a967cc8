"""`heyday email-stub`: a fake email service that serves until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Mapping
from dataclasses import fields

import uvloop

from actors.commands.arguments import whole_number
from actors.commands.errors import CommandFailed, WrongUsage
from actors.commands.exit_codes import OK
from actors.commands.sandbox.email_stub.options import StubOptions, latency
from actors.commands.sandbox.email_stub.server import serve

DEFAULT_PORT = 8025


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    defaults = StubOptions()
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=whole_number(0, 65535), default=DEFAULT_PORT, help="0 takes a free port (%(default)s)"
    )
    parser.add_argument(
        "--error-rate", type=float, default=defaults.error_rate, help="share of requests answered with 500 or 503"
    )
    parser.add_argument("--hang-rate", type=float, default=defaults.hang_rate, help="share of requests never answered")
    parser.add_argument(
        "--accept-then-fail-rate",
        type=float,
        default=defaults.accept_then_fail_rate,
        help="share of requests accepted whose connection is then reset",
    )
    parser.add_argument(
        "--latency",
        type=_latency,
        default=defaults.latency,
        help="time until an answer, or a range: 0.05, 50ms, 0.05-0.2",
    )
    parser.add_argument(
        "--hang-for",
        type=float,
        default=defaults.hang_for,
        help="seconds until a request that is never answered is cut",
    )
    parser.add_argument(
        "--retry-after", type=int, default=defaults.retry_after, help="seconds in the Retry-After of a 429"
    )
    parser.add_argument(
        "--rate", type=float, default=defaults.rate, help="requests taken in a second, with 429 beyond; 0: no limit"
    )
    parser.add_argument(
        "--status", type=int, default=defaults.status, help="answer every request with this status, such as 401"
    )
    parser.add_argument("--token", default=defaults.token, help="answer 401 to requests without this bearer token")
    parser.add_argument("--fail-for", default=defaults.fail_for, help="answer 500 to addresses that begin with this")
    parser.add_argument("--down", action="store_true", help="answer every request with 503")
    parser.add_argument("--seed", type=int, help="make the sequence of faults repeatable")
    parser.add_argument("--keep", type=int, default=defaults.keep, help="number of acceptances to remember")


def run(args: argparse.Namespace, _environment: Mapping[str, str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code. Prints one line with the URL once it listens.

    Raises WrongUsage for options that contradict each other, CommandFailed if the port is taken.
    """
    uvloop.run(_serve(args))
    return OK


async def _serve(args: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        stub = await serve(args.host, args.port, _options(args))
    except ValueError as mistake:
        raise WrongUsage(str(mistake)) from mistake
    except OSError as failure:
        raise CommandFailed(f"email-stub cannot listen on {args.host}:{args.port}: {failure.strerror}") from failure
    try:
        sys.stdout.write(f"email stub listening on {stub.url}\n")
        sys.stdout.flush()
        await stopped.wait()
    finally:
        await stub.close()


def _options(args: argparse.Namespace) -> StubOptions:
    return StubOptions(**{field.name: getattr(args, field.name) for field in fields(StubOptions)})


def _latency(value: str) -> tuple[float, float]:
    try:
        return latency(value)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from wrong
