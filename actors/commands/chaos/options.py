"""What the chaos command was asked for."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actors.chaos.faults import KINDS

EMBEDDED, ENVIRONMENT = "embedded", "environment"
"""Where servers come from: of our own, or those that the environment names."""

ALL = "all"


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    """`nodes` nodes send `greetings` greetings while each of `faults` hits them `each` times, as drawn from `seed`."""

    nodes: int
    greetings: int
    seed: int
    faults: tuple[str, ...]
    each: int = 1
    servers: str = EMBEDDED
    json: Path | None = None
    directory: Path | None = None

    @property
    def command(self) -> str:
        """The command that repeats it."""
        faults = ALL if self.faults == tuple(KINDS) else ",".join(self.faults)
        words = f"heyday chaos --nodes {self.nodes} --greetings {self.greetings} --faults {faults} --each {self.each}"
        return f"{words} --seed {self.seed}" + (f" --servers {self.servers}" if self.servers != EMBEDDED else "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Rehearses the worst: real nodes and real servers on loopback, a wave of greetings, and faults that hit them.\n"
        "Ends with a verdict; exit code 0 only if nothing was lost, early or twice, and everything came to its end.\n"
        "The nodes get the HEYDAY_* settings of the environment, so it is your configuration that is rehearsed.\n"
        "Nobody is greeted: the email service is a fake one that keeps the books."
    )
    width = max(map(len, KINDS))
    parser.epilog = "faults:\n" + "\n".join(f"  {name:<{width}}  {kind.does}" for name, kind in KINDS.items())
    parser.add_argument("--nodes", type=_whole(1, 20), default=3, metavar="N", help="nodes side by side (%(default)s)")
    parser.add_argument(
        "--greetings",
        type=_whole(10, 1_000_000),
        default=1000,
        metavar="M",
        help="people who are due at one instant, in every zone where it is 09:00 then (%(default)s)",
    )
    parser.add_argument(
        "--faults",
        type=_faults,
        default=tuple(KINDS),
        metavar="KIND[,KIND...]",
        help="the kinds of fault, of those below (all)",
    )
    often = parser.add_mutually_exclusive_group()
    often.add_argument("--each", type=_whole(1, 100), default=1, metavar="N", help="how often each (%(default)s)")
    often.add_argument("--twice", action="store_const", const=2, dest="each", help="the same as --each 2")
    parser.add_argument(
        "--seed",
        type=_whole(0, 2**31),
        metavar="S",
        help="repeats a sequence of faults; drawn, and said, if left out",
    )
    parser.add_argument(
        "--servers",
        choices=(EMBEDDED, ENVIRONMENT),
        default=EMBEDDED,
        help="embedded: private ones, started for this; environment: those of HEYDAY_DATABASE_URL, HEYDAY_REDIS_URL "
        "and HEYDAY_RABBITMQ_URL, which must be empty, and are neither killed nor filled (%(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict there, too")
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="where the logs stay, new or empty. Otherwise a temporary one, which stays only if the rehearsal fails",
    )


def options_from(args: argparse.Namespace) -> ChaosOptions:
    """The options that these arguments say."""
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


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if text.isascii() and text.isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, not {text!r}")

    return parse
