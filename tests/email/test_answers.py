"""What each status code and each form of Retry-After means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from service.adapters.email.answers import LONGEST_RETRY_AFTER, answer_to, outcome_of, retry_after
from service.domain.messages import Outcome

DATE = "Mon, 01 Mar 2027 09:00:00 GMT"


@pytest.mark.parametrize(
    ("outcome", "codes"),
    [
        (Outcome.ACCEPTED, [200, 201, 202, 204, 207, 299]),
        (Outcome.REFUSED, [400, 401, 403, 404, 405, 410, 411, 413, 414, 415, 418, 422, 451]),
        (Outcome.REJECTED, [408, 409, 425, 429, 500, 501, 502, 503, 504, 520, 599, 600, 999]),
        (Outcome.REJECTED, [300, 301, 302, 303, 304, 307, 308]),
        (Outcome.UNKNOWN, [101]),
    ],
)
def test_every_status_code_has_one_meaning(outcome: Outcome, codes: list[int]) -> None:
    """A refusal ends a message for good, so only answers about the message itself may be one."""
    meanings = {outcome_of(code) for code in codes}

    assert meanings == {outcome}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("2", 2),
        (" 120 ", 120),
        ("1.5", 1.5),
        ("-5", 0),
        ("86400", 86400),
        ("86401", 86400),
        ("9" * 5000, 86400),
        ("Mon, 01 Mar 2027 09:00:30 GMT", 30),
        ("Monday, 01-Mar-27 09:01:00 GMT", 60),
        ("Mon Mar  1 09:02:00 2027", 120),
        ("Mon, 01 Mar 2027 08:00:00 GMT", 0),
        ("Mon, 01 Mar 2027 10:00:30 +0100", 30),
        ("Mon, 01 Mar 2127 09:00:00 GMT", 86400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
    ],
)
def test_retry_after_is_read_in_all_its_forms_and_kept_within_a_day(value: str, seconds: float) -> None:
    """A negative wait would retry at once for ever and an absurd one would never retry."""
    wait = retry_after({"Retry-After": value, "Date": DATE})

    assert wait == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["", "soon", "nan", "inf", "1e3", "٣", "12 minutes", "Mon, 99 Foo 2027 09:00:00 GMT", ",,,", "0x10"]
)
def test_a_retry_after_that_makes_no_sense_counts_as_none(value: str) -> None:
    """A header that cannot be read must not make an attempt fail."""
    wait = retry_after({"Retry-After": value, "Date": DATE})

    assert wait is None


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
def test_without_a_date_a_retry_after_date_is_compared_with_our_clock(headers: dict[str, str]) -> None:
    """Servers may leave Date out; the wait is then as right as this machine's clock."""
    in_ten_minutes = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)

    wait = retry_after({"Retry-After": in_ten_minutes, **headers})

    assert wait is not None
    assert timedelta(minutes=9) < wait <= timedelta(minutes=10)


def test_only_an_answer_that_means_later_has_a_retry_after() -> None:
    """A refused message is not retried, whatever the header says."""
    headers = {"Retry-After": "99999999"}

    later, refused = answer_to(503, headers, duration=0.1), answer_to(403, headers, duration=0.1)

    assert (later.retry_after, refused.retry_after) == (LONGEST_RETRY_AFTER, None)
    assert (later.error, refused.error) == ("503 Service Unavailable", "403 Forbidden")
