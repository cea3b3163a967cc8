"""The arguments of `heyday doctor`."""

from __future__ import annotations

import argparse
from pathlib import Path

from actors.commands.options import instant


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="write JSON instead of lines for people")
    parser.add_argument(
        "--adopt",
        action="store_true",
        help="accept a database that nodes refuse: restored, cloned, or moved with nobody to vouch for it",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--hold",
        action="store_true",
        help="with --adopt (default): what is due now may have been sent after the backup, and waits in state unknown",
    )
    choice.add_argument(
        "--resend", action="store_true", help="with --adopt: what is due now is sent, under the keys that it has here"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --adopt: only show what it would do")
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="compare the keys that the email service has accepted with our rows"
    )
    parser.add_argument("--from", dest="starts_at", metavar="INSTANT", type=instant, help="with --ledger: its begin")
    parser.add_argument("--to", dest="ends_at", metavar="INSTANT", type=instant, help="with --ledger: its end")
    parser.add_argument(
        "--mend",
        action="store_true",
        help="with --ledger: record as sent what is unknown here and was accepted there",
    )
    parser.add_argument("--queries", action="store_true", help="what PostgreSQL's statistics say about our queries")
