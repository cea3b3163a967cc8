"""Tests the verdict of loadtest.email_ways; its waves run servers and nodes."""

from __future__ import annotations

from typing import Any

from loadtest.email_ways import UNKNOWN_LIMIT, Ended, judge_smtp


def ended(**statuses: int) -> Ended:
    """The rows of a wave with that many messages in each state."""
    rows: list[Any] = [
        {"id": f"{status}-{number}", "status": status} for status, count in statuses.items() for number in range(count)
    ]
    return Ended(rows, 1.0)


def test_only_the_calls_under_way_may_end_as_unknown() -> None:
    """A wave of unknown outcomes greets no user for certain."""
    assert judge_smtp(ended(unknown=UNKNOWN_LIMIT + 1), []) == [
        f"{UNKNOWN_LIMIT + 1} are unknown, more than {UNKNOWN_LIMIT}",
        "nothing is sent",
    ]
    assert judge_smtp(ended(unknown=UNKNOWN_LIMIT, sent=1), []) == ["sent-0 is sent and has no mail"]
