"""The arguments of the commands that look and of `heyday redrive`, without loading what they use."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from uuid import UUID


def add_preview_arguments(parser: argparse.ArgumentParser) -> None:
    """The window, and who and what is looked at in it."""
    parser.add_argument("--from", dest="starts_at", metavar="INSTANT", type=instant, help="default: now")
    parser.add_argument("--to", dest="ends_at", metavar="INSTANT", type=instant, help="exclusive; default: a day later")
    parser.add_argument("--occasion", metavar="CODE", help="such as birthday; default: all")
    parser.add_argument("--user", metavar="ID", type=UUID, help="default: all")
    parser.add_argument("--deleted", action="store_true", help="also deleted users who have no message in the window")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each, as in GET /api/v1/preview")
    parser.add_argument(
        "--tzdata-diff",
        action="store_true",
        help="instead: the unsent messages that the zone data here moves",
    )


def add_explain_arguments(parser: argparse.ArgumentParser) -> None:
    """Who."""
    parser.add_argument("user", metavar="USER", help="an id, or an email address of a user who is not deleted")
    parser.add_argument("--json", action="store_true", help="JSON, as in GET /api/v1/users/{id}/explanation")


def add_redrive_arguments(parser: argparse.ArgumentParser) -> None:
    """Which messages, by their ids or by what they have in common."""
    parser.add_argument("ids", metavar="ID", nargs="*", type=UUID, help="messages")
    parser.add_argument("--status", choices=["expired", "failed", "unknown"], help="all of this state, instead of ids")
    parser.add_argument("--occasion", metavar="CODE", help="with --status: only of this one")
    parser.add_argument("--from", dest="starts_at", metavar="INSTANT", type=instant, help="only those due from then on")
    parser.add_argument("--to", dest="ends_at", metavar="INSTANT", type=instant, help="only those due before then")
    parser.add_argument("--dry-run", action="store_true", help="only list them, each with the reason that it shows")


def instant(text: str) -> datetime:
    """`2026-12-10T09:00:00Z`, with any offset, or `2026-12-10`, the midnight of UTC with which that day begins."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None and len(text) == len("2026-12-10"):
            found = found.replace(tzinfo=UTC)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"expected an instant such as 2026-12-10T09:00:00Z or 2026-12-10, not {text!r}")
