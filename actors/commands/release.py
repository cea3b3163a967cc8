"""`heyday release`: ends holds, so that everything that is due within the late limit is sent, oldest first."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from actors.commands.arguments import identifier
from actors.commands.errors import WrongUsage, WrongValue
from actors.commands.exit_codes import FAILED, OK
from actors.commands.holds import add_json, with_holds, write
from actors.commands.principal import command_line
from service.domain.holds import Hold
from service.ports import Holds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "ids", metavar="ID", nargs="*", type=identifier, help="ids of holds (default: the only active one)"
    )
    parser.add_argument("--all", action="store_true", help="every active hold")
    parser.add_argument("--occasion", metavar="CODE", help="the active holds of this occasion, not those of everything")
    add_json(parser)


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """End the holds and return the exit code. Raises BadConfiguration, WrongUsage, Unavailable."""
    if bool(args.ids) + args.all + (args.occasion is not None) > 1:
        raise WrongUsage("expected ids of holds, or --all, or --occasion")

    async def work(holds: Holds, now: datetime) -> int:
        active = await holds.active()
        ids = args.ids or _chosen(args, active)
        if not ids:
            if not args.json:
                _say_none(args.occasion, active)
                write(active, now, as_json=False)
            return OK
        released = await holds.release(ids, by=command_line())
        write(released, now, as_json=args.json)
        missing = set(ids) - {one.id for one in released}
        for one in sorted(missing):
            sys.stderr.write(f"{one}: there is no such hold\n")
        left = await holds.active()
        if not args.json:
            sys.stdout.write(f"{len(released)} released.\n")
            write(left, now, as_json=False)
        return FAILED if missing else OK

    return with_holds(environment, work, occasion=args.occasion)


def _say_none(occasion: str | None, active: list[Hold]) -> None:
    if occasion is None:
        sys.stdout.write("Nothing is held.\n")
    elif active:
        sys.stdout.write(f"There is no active hold of {occasion} alone. The active holds:\n")
    else:
        sys.stdout.write(f"{occasion} is not held.\n")


def _chosen(args: argparse.Namespace, active: list[Hold]) -> list[UUID]:
    if args.all:
        return [one.id for one in active]
    if args.occasion is not None:
        return [one.id for one in active if one.occasion == args.occasion]
    if len(active) > 1:
        raise WrongValue(f"{len(active)} holds are active; name one by its id, or use --all (see `heyday holds`)")
    return [one.id for one in active]
