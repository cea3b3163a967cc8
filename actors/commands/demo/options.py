"""Command-line arguments of `heyday demo`, and node settings for a clock that runs fast."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from actors.commands.sandbox.email_stub import StubOptions

DAY = timedelta(days=1)

FAULTS = StubOptions(error_rate=0.08, hang_rate=0.04, accept_then_fail_rate=0.01, latency=(0.005, 0.04))
"""Faults of the fake email service: about one call in eight fails."""

EMAIL_TIMEOUT = 1.0
"""Seconds of real time for one call: 24 minutes of business time at the default speed."""

FIRST_BACKOFF, LONGEST_BACKOFF = 0.4, 3.0
"""Seconds of real time between two attempts. Nodes count in business time, so they are multiplied by the rate."""

PREFERRED_PORT = 8080


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`users` greetings are due in a day of `seconds_per_day`. With `port` None the API uses 8080 or a free port."""

    users: int = 300
    seconds_per_day: float = 60.0
    once: bool = False
    port: int | None = None
    fresh: bool = False

    @property
    def rate(self) -> float:
        """Seconds of business time in one second of real time."""
        return DAY.total_seconds() / self.seconds_per_day


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    defaults = DemoOptions()
    parser.add_argument(
        "--users",
        type=_between(1, 20_000, int),
        default=defaults.users,
        help="number of greetings on the first day (%(default)s)",
    )
    parser.add_argument(
        "--seconds-per-day",
        type=_between(5, 86_400, float),
        default=defaults.seconds_per_day,
        help="real seconds for one day (%(default)g)",
    )
    parser.add_argument(
        "--once", action="store_true", help="stop after one day, with exit code 0 if every greeting was sent once"
    )
    parser.add_argument(
        "--port", type=_between(1, 65_535, int), help=f"port of the API (default: {PREFERRED_PORT}, or a free port)"
    )
    parser.add_argument("--fresh", action="store_true", help="delete the data of earlier demos in .heyday/")


def options_from(args: argparse.Namespace) -> DemoOptions:
    """The options in these arguments."""
    return DemoOptions(args.users, args.seconds_per_day, args.once, args.port, args.fresh)


def environment(options: DemoOptions, *, database: str, redis: str, email: str, port: int) -> dict[str, str]:
    """The settings of the node. Without a RabbitMQ URL, the delivery queue is a Redis stream."""
    return {
        "HEYDAY_DATABASE_URL": database,
        "HEYDAY_REDIS_URL": redis,
        "HEYDAY_EMAIL_URL": email,
        "HEYDAY_BIND": f"127.0.0.1:{port}",
        "HEYDAY_NODE_ID": f"demo-{secrets.token_hex(3)}",
        "HEYDAY_EMAIL_TIMEOUT": f"{EMAIL_TIMEOUT:g}s",
        "HEYDAY_EMAIL_BACKOFF": f"{FIRST_BACKOFF * options.rate:.3f}s",
        "HEYDAY_EMAIL_BACKOFF_LIMIT": f"{LONGEST_BACKOFF * options.rate:.3f}s",
        "HEYDAY_EMAIL_ATTEMPTS": "20",
        # A laptop that sleeps for a minute misses a day of the demo. Its greetings are sent afterwards.
        "HEYDAY_LATE_LIMIT": "7d",
        # In business time, too: a day may last some seconds, and the fake email service remembers every key.
        "HEYDAY_IDEMPOTENCY_LASTS": "7d",
        "HEYDAY_CIRCUIT_RESET": "2s",
        # With the usual cron, recovery would run at every read of the clock.
        "HEYDAY_RECOVERY_CRON": "0 */6 * * *",
        "HEYDAY_RATE_LIMIT": "off",
        "HEYDAY_DRAIN_WITHIN": "5s",
    }


def _between(least: float, most: float, kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected a number from {least:g} to {most:g}, not {text!r}")
        return value

    return parse
