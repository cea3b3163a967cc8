"""Command-line arguments of `heyday chaos`."""

from __future__ import annotations

import argparse
import secrets
from dataclasses import dataclass
from pathlib import Path

from actors.commands.arguments import whole_number
from actors.commands.chaos.faults import KINDS

EMBEDDED, ENVIRONMENT = "embedded", "environment"
"""Sources of the servers: private ones, or those that the environment names."""

ALL = "all"


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    """`nodes` nodes send `greetings` greetings. Each fault is injected `each` times, in an order drawn from `seed`."""

    nodes: int
    greetings: int
    seed: int
    faults: tuple[str, ...]
    each: int = 1
    servers: str = EMBEDDED
    json: Path | None = None
    directory: Path | None = None

    @property
    def seconds(self) -> float:
        """Expected seconds of all faults with their recoveries."""
        return self.each * sum(KINDS[name].takes for name in self.faults)

    @property
    def command(self) -> str:
        """The command that repeats the rehearsal."""
        faults = ALL if self.faults == tuple(KINDS) else ",".join(self.faults)
        words = f"heyday chaos --nodes {self.nodes} --greetings {self.greetings} --faults {faults} --each {self.each}"
        return f"{words} --seed {self.seed}" + (f" --servers {self.servers}" if self.servers != EMBEDDED else "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Sends a wave of greetings through real nodes and servers on loopback, and injects faults.\n"
        "The exit code is 0 only if no greeting was lost, early or duplicated, and heyday recovered from every fault.\n"
        "The nodes use the HEYDAY_* settings of the environment: you rehearse your own configuration.\n"
        "No user is greeted: the email service is a fake one that records every call."
    )
    width = max(map(len, KINDS))
    parser.epilog = "faults:\n" + "\n".join(f"  {name:<{width}}  {kind.does}" for name, kind in KINDS.items())
    parser.add_argument(
        "--nodes", type=whole_number(1, 20), default=3, metavar="N", help="number of nodes (%(default)s)"
    )
    parser.add_argument(
        "--greetings",
        type=whole_number(10, 1_000_000),
        default=2000,
        metavar="M",
        help="users who are due at one instant, in every zone where it is 09:00 then (%(default)s)",
    )
    parser.add_argument(
        "--faults",
        type=_faults,
        default=tuple(KINDS),
        metavar="KIND[,KIND...]",
        help="kinds of fault from the list below (all)",
    )
    often = parser.add_mutually_exclusive_group()
    often.add_argument(
        "--each", type=whole_number(1, 100), default=1, metavar="N", help="how often to inject each kind (%(default)s)"
    )
    often.add_argument("--twice", action="store_const", const=2, dest="each", help="the same as --each 2")
    parser.add_argument(
        "--seed",
        type=whole_number(0, 2**31),
        metavar="S",
        help="repeat a sequence of faults (default: a random number, which is printed)",
    )
    parser.add_argument(
        "--servers",
        choices=(EMBEDDED, ENVIRONMENT),
        default=EMBEDDED,
        help="embedded: private servers; environment: those of HEYDAY_DATABASE_URL, HEYDAY_REDIS_URL and "
        "HEYDAY_RABBITMQ_URL, which must be empty, and are neither killed nor filled (%(default)s)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="also write the verdict as JSON into FILE, which is empty without one",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="keep the logs in DIR, which must be new or empty (default: a temporary directory, kept after a failure)",
    )


def options_from(args: argparse.Namespace) -> ChaosOptions:
    """The options in these arguments."""
    seed = args.seed if args.seed is not None else secrets.randbelow(1_000_000)
    return ChaosOptions(
        args.nodes, args.greetings, seed, args.faults, args.each, args.servers, args.json, args.directory
    )


def _faults(text: str) -> tuple[str, ...]:
    if text.strip() == ALL:
        return tuple(KINDS)
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in KINDS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown) or text!r}; the kinds are: {', '.join(KINDS)}")
    return tuple(dict.fromkeys(names))
