"""The command `heyday email-stub`: its arguments, and serving until a signal."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from dataclasses import fields

from service.email_stub.options import StubOptions, latency
from service.email_stub.server import serve

DEFAULT_PORT = 8025


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    defaults = StubOptions()
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (%(default)s)")
    parser.add_argument("--error-rate", type=float, default=defaults.error_rate, help="share answered 500 or 503")
    parser.add_argument("--hang-rate", type=float, default=defaults.hang_rate, help="share never answered")
    parser.add_argument(
        "--accept-then-fail-rate",
        type=float,
        default=defaults.accept_then_fail_rate,
        help="share accepted, whose connection is then reset",
    )
    parser.add_argument(
        "--latency", type=_latency, default=defaults.latency, help="seconds or a range of them: 0.05, 50ms, 0.05-0.2"
    )
    parser.add_argument("--hang-for", type=float, default=defaults.hang_for, help="seconds until a hang is cut")
    parser.add_argument("--retry-after", type=int, default=defaults.retry_after, help="seconds asked for by a 503")
    parser.add_argument("--down", action="store_true", help="answer everything 503")
    parser.add_argument("--seed", type=int, help="make the sequence of faults repeatable")
    parser.add_argument("--keep", type=int, default=defaults.keep, help="acceptances remembered one by one")


async def run(args: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT; prints one line with the URL once it listens.

    Raises SystemExit with a readable message when the options make no sense or the port is taken.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        stub = await serve(args.host, args.port, _options(args))
    except (ValueError, OSError) as wrong:
        raise SystemExit(f"email-stub: {wrong}") from wrong
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
