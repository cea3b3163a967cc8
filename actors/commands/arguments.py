"""Types of arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime


def instant(text: str) -> datetime:
    """Parse `2026-12-10T09:00:00Z`, with any offset, or `2026-12-10`, which is midnight in UTC."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None and len(text) == len("2026-12-10"):
            found = found.replace(tzinfo=UTC)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"expected an instant such as 2026-12-10T09:00:00Z or 2026-12-10, not {text!r}")


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Make a type for whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, not {text!r}")

    return parse
