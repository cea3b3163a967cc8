"""`heyday hold`: stops all sending, or that of one occasion, at once and on every node."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta

from actors.commands.arguments import instant
from actors.commands.errors import CommandFailed, WrongValue
from actors.commands.exit_codes import OK
from actors.commands.holds import add_json, with_holds, write
from actors.commands.principal import command_line
from service.domain.holds import MAX_REASON_CHARACTERS
from service.environment import duration
from service.ports import HoldRefused, Holds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--reason", metavar="TEXT", type=_reason, required=True, help="the reason, shown with the hold")
    parser.add_argument("--occasion", metavar="CODE", help="only this occasion (default: everything)")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--for", dest="lasts", metavar="DURATION", type=_duration, help="how long, such as 2h or 30m")
    end.add_argument("--until", metavar="INSTANT", type=instant, help="until when (default: until it is released)")
    add_json(parser)


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Make the hold and return the exit code. Raises BadConfiguration, CommandFailed, WrongValue, Unavailable."""

    async def work(holds: Holds, _now: datetime) -> int:
        try:
            hold = await holds.create(
                occasion=args.occasion, reason=args.reason, by=command_line(), until=args.until, lasts=args.lasts
            )
        except HoldRefused as refused:
            if refused.field is None:
                raise CommandFailed(refused.reason) from refused
            raise WrongValue(f"--{refused}") from refused
        write([hold], hold.created_at, as_json=args.json)
        if not args.json:
            sys.stdout.write(f"Within a second no node begins a call. Let it go on with: heyday release {hold.id}\n")
        return OK

    return with_holds(environment, work, occasion=args.occasion)


def _reason(text: str) -> str:
    if 1 <= len(text.strip()) <= MAX_REASON_CHARACTERS and text.isprintable():
        return text.strip()
    raise argparse.ArgumentTypeError(f"expected a line of 1 to {MAX_REASON_CHARACTERS} characters")


def _duration(text: str) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected {error}, not {text!r}") from None
