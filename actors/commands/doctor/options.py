"""Command-line arguments of `heyday doctor`."""

from __future__ import annotations

import argparse
from pathlib import Path

from actors.commands.arguments import instant


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="write JSON instead of text; not with --adopt")
    parser.add_argument(
        "--adopt",
        action="store_true",
        help="accept a database that nodes refuse, for example a restored backup",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--hold",
        action="store_true",
        help="with --adopt (default): set due messages to unknown, because they may have been sent after the backup",
    )
    choice.add_argument(
        "--resend",
        action="store_true",
        help="with --adopt: send due messages, with the keys that they have in this database",
    )
    parser.add_argument("--dry-run", action="store_true", help="with --adopt: show the result, change nothing")
    parser.add_argument(
        "--ledger",
        type=Path,
        metavar="FILE",
        help="compare the keys in FILE, which the email service has accepted, with the database",
    )
    parser.add_argument(
        "--from", dest="starts_at", metavar="INSTANT", type=instant, help="with --ledger: start of the period"
    )
    parser.add_argument(
        "--to", dest="ends_at", metavar="INSTANT", type=instant, help="with --ledger: end of the period"
    )
    parser.add_argument(
        "--mend",
        action="store_true",
        help="with --ledger: record as sent what is unknown here and accepted there",
    )
    parser.add_argument(
        "--queries", action="store_true", help="report slow queries and tables from the statistics of PostgreSQL"
    )
