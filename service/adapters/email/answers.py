"""What an HTTP answer of the email service means for a message.

The table is drawn in docs/explanation/delivery_attempts.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from service.domain.messages import Answer, Outcome

LONGEST_RETRY_AFTER = timedelta(hours=24)
"""A service that asks for more is asked again after a day: a wrong header must not park a greeting for ever."""

LATER_STATUS_CODES = frozenset({408, 409, 425, 429})
"""4xx that pass: too slow, the same key is being worked on, too early, too many."""

_SECONDS = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_PHRASES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


def answer_to(status_code: int, headers: Mapping[str, str], *, duration: float) -> Answer:
    """The result of an attempt that was answered with `status_code` after `duration` seconds."""
    outcome = outcome_of(status_code)
    if outcome is Outcome.ACCEPTED:
        return Answer(outcome, duration, status_code)
    # The phrase is the standard's, never the service's own: that one might repeat the address.
    error = _PHRASES.get(status_code, str(status_code))
    wait = retry_after(headers) if outcome is Outcome.REJECTED else None
    return Answer(outcome, duration, status_code, error, wait)


def outcome_of(status_code: int) -> Outcome:
    """What a status code says about the message."""
    if 200 <= status_code < 300:
        return Outcome.ACCEPTED
    if 400 <= status_code < 500 and status_code not in LATER_STATUS_CODES:
        return Outcome.REFUSED
    if status_code < 200:
        # 101 answers a question that was not asked; whoever sent it may have read the message.
        return Outcome.UNKNOWN
    # A redirect is not followed and says nothing about the message, only about the URL: it waits until somebody
    # has put the service or the URL right. Codes from 600 on are read as 5xx, as RFC 9110 has it.
    return Outcome.REJECTED


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long the service asks us to wait, between nothing and LONGEST_RETRY_AFTER; None if it does not say.

    A date is taken relative to the answer's own Date, so that neither clock has to be right; without a Date
    there is only this machine's clock to compare it with.
    """
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        # min() comes first: a timedelta overflows, a float does not.
        return timedelta(seconds=max(0.0, min(float(value), LONGEST_RETRY_AFTER.total_seconds())))
    at = _http_date(value)
    if at is None:
        return None
    now = _http_date(headers.get("Date", "")) or datetime.now(UTC)
    return max(timedelta(), min(at - now, LONGEST_RETRY_AFTER))


def _http_date(value: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
