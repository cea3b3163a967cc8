"""Parses and checks the cron expressions of the settings."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from croniter import CroniterBadDateError, croniter


def cron(text: str) -> str:
    """A cron expression that has instants, always the same ones."""
    # croniter also takes instants that it picks itself (H and R), and dates that never come, such as 30 February.
    if len(text.split()) == 5 and croniter.is_valid(text) and not re.search(r"\b[hr]\b", text, re.IGNORECASE):
        try:
            croniter(text, datetime(2000, 1, 1, tzinfo=UTC)).get_next()
        except CroniterBadDateError:
            pass
        else:
            return text
    raise ValueError("a cron expression of five fields, in UTC, such as */10 * * * *")


def has_cron_gap(expression: str, longest: timedelta) -> bool:
    """True if two instants of a cron expression, in the two years from 2000, are further apart than `longest`.

    An expression that names no day repeats every day, so two days are enough. Every command makes this check.
    """
    at = datetime(2000, 1, 1, tzinfo=UTC)
    until = at + (timedelta(days=2) if expression.split()[2:] == ["*", "*", "*"] else timedelta(days=731))
    while at < until:
        following: datetime = croniter(expression, at).get_next(datetime)
        latest: datetime = croniter(expression, at + longest + timedelta(seconds=1)).get_prev(datetime)
        if latest <= at and following - at > longest:
            return True
        at = max(latest, following)
    return False
