"""What the demo was asked for, and the settings that suit a clock that runs fast."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from service.email_stub import StubOptions

DAY = timedelta(days=1)

FAULTS = StubOptions(error_rate=0.08, hang_rate=0.04, accept_then_fail_rate=0.01, latency=(0.005, 0.04))
"""How the fake email service misbehaves: every eighth call or so ends badly."""

EMAIL_TIMEOUT = 1.0
"""Seconds of real time until a call that hangs is given up: 24 minutes of the demo's day."""

FIRST_BACKOFF, LONGEST_BACKOFF = 0.4, 3.0
"""Seconds of real time between two attempts. A node counts in business time, so they are multiplied by its rate."""

PREFERRED_PORT = 8080


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`users` greetings fall due in a day that takes `seconds_per_day`; `port` None: 8080, or a free one."""

    users: int = 300
    seconds_per_day: float = 60.0
    once: bool = False
    port: int | None = None
    fresh: bool = False

    @property
    def rate(self) -> float:
        """Seconds of business time in a second of real time."""
        return DAY.total_seconds() / self.seconds_per_day


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    defaults = DemoOptions()
    parser.add_argument(
        "--users",
        type=_between(1, 20_000, int),
        default=defaults.users,
        help="greetings of the first day (%(default)s)",
    )
    parser.add_argument(
        "--seconds-per-day",
        type=_between(5, 86_400, float),
        default=defaults.seconds_per_day,
        help="seconds that a day takes (%(default)g)",
    )
    parser.add_argument("--once", action="store_true", help="end after one day, with exit code 0 if all went well")
    parser.add_argument(
        "--port", type=_between(1, 65_535, int), help=f"port of the API ({PREFERRED_PORT}, or a free one)"
    )
    parser.add_argument("--fresh", action="store_true", help="throw away what earlier demos kept in .heyday/")


def options_from(args: argparse.Namespace) -> DemoOptions:
    """The options that these arguments say."""
    return DemoOptions(args.users, args.seconds_per_day, args.once, args.port, args.fresh)


def environment(options: DemoOptions, *, database: str, redis: str, email: str, port: int) -> dict[str, str]:
    """The settings of the demo's node; without a RabbitMQ URL its delivery queue is a Redis stream."""
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
        # A laptop that slept for a minute has missed a day of the demo; what it missed is still to be seen leaving.
        "HEYDAY_LATE_LIMIT": "7d",
        "HEYDAY_CIRCUIT_RESET": "2s",
        # The usual cron would have a pass at every look at the clock.
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
