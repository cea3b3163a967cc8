"""`heyday migrate`: applies the files of `schema/` that the database does not have yet."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping

import orjson

from actors.commands.errors import CommandFailed
from actors.commands.exit_codes import OK
from actors.commands.progress import Progress
from service.settings import read_database_url


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="write the names of the applied files as JSON")


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Migrate, and write the name of each applied file. Raises BadConfiguration, CommandFailed, Unavailable."""
    from service.adapters.postgres.migrations import MigrationFailed, migrate, newer_in

    dsn = read_database_url(environment)
    try:
        with Progress("applying migrations"):
            applied = asyncio.run(migrate(dsn))
    except MigrationFailed as failure:
        raise CommandFailed(str(failure)) from failure
    newer = asyncio.run(newer_in(dsn))
    if args.json:
        sys.stdout.write(orjson.dumps({"applied": applied, "newer": newer}).decode() + "\n")
        return OK
    lines = [f"applied {name}" for name in applied] or ["nothing to apply"]
    if newer:
        lines.append(f"a newer version of heyday has applied {', '.join(newer)}")
    sys.stdout.write("\n".join(lines) + "\n")
    return OK
