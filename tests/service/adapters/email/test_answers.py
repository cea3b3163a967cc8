"""Tests the meaning of each status code and of each form of Retry-After."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from service.adapters.email.answers import _ADDRESS, LONGEST_RETRY_AFTER, answer_to, first_line, outcome_of, retry_after
from service.domain.messages import Outcome

DATE = "Mon, 01 Mar 2027 09:00:00 GMT"


@pytest.mark.parametrize(
    ("outcome", "codes"),
    [
        (Outcome.ACCEPTED, [200, 201, 202, 204, 207, 299]),
        (Outcome.PERMANENT_FAILURE, [400, 410, 411, 413, 414, 415, 418, 422, 451]),
        (
            Outcome.TRANSIENT_FAILURE,
            [401, 402, 403, 404, 405, 407, 408, 409, 425, 429, 500, 501, 502, 503, 504, 520, 599, 600, 999],
        ),
        (Outcome.TRANSIENT_FAILURE, [300, 301, 302, 303, 304, 307, 308]),
        (Outcome.UNKNOWN, [101]),
    ],
)
def test_every_status_code_has_one_meaning(outcome: Outcome, codes: list[int]) -> None:
    """A refusal ends a message for good, so it must be about the message itself."""
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
    """A negative wait would retry at once for ever. A huge one would never retry."""
    wait = retry_after({"Retry-After": value, "Date": DATE})

    assert wait == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["", "soon", "nan", "inf", "1e3", "٣", "12 minutes", "Mon, 99 Foo 2027 09:00:00 GMT", ",,,", "0x10"]
)
def test_a_retry_after_that_makes_no_sense_counts_as_none(value: str) -> None:
    """An invalid header must not make an attempt fail."""
    wait = retry_after({"Retry-After": value, "Date": DATE})

    assert wait is None


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
def test_without_a_date_a_retry_after_date_is_compared_with_our_clock(headers: dict[str, str]) -> None:
    """Servers may leave Date out. The wait is then as exact as this machine's clock."""
    in_ten_minutes = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)

    wait = retry_after({"Retry-After": in_ten_minutes, **headers})

    assert wait is not None
    assert timedelta(minutes=9) < wait <= timedelta(minutes=10)


def test_only_an_answer_that_means_later_has_a_retry_after() -> None:
    """A refused message is not retried, even with such a header."""
    headers = {"Retry-After": "99999999"}

    later, refused = answer_to(503, headers, duration=0.1), answer_to(422, headers, duration=0.1)

    assert (later.retry_after, refused.retry_after) == (LONGEST_RETRY_AFTER, None)
    assert (later.error, refused.error) == ("503 Service Unavailable", "422 Unprocessable Content")


@pytest.mark.parametrize(
    ("status", "headers", "in_doubt"),
    [
        (500, {}, True),
        (502, {}, True),
        (504, {}, True),
        (520, {}, True),
        (409, {}, True),
        (503, {}, False),
        (503, {"Retry-After": "1"}, False),
        (501, {}, False),
        (429, {}, False),
        (401, {}, False),
        (404, {}, False),
        (307, {}, False),
        (422, {}, False),
    ],
)
def test_an_error_in_the_middle_of_its_work_leaves_a_doubt(
    status: int, headers: dict[str, str], in_doubt: bool
) -> None:
    """Another service gets only messages of which this one certainly took nothing."""
    assert answer_to(status, headers, duration=0.1).in_doubt == in_doubt


@pytest.mark.parametrize(
    ("status", "headers", "throttled"),
    [(429, {}, True), (429, {"Retry-After": "3"}, True), (503, {"Retry-After": "3"}, True), (503, {}, False)],
)
def test_429_and_503_with_retry_after_are_a_throttle(status: int, headers: dict[str, str], throttled: bool) -> None:
    """503 alone is an outage, and a slower rate does not end it."""
    assert answer_to(status, headers, duration=0.1).throttled is throttled


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"status":"sent","sentTime":"2027-03-14T09:00:00Z"}', None),
        (b'{"success":true,"messageId":"b7bc2f4a"}', "b7bc2f4a"),
        (b'{"MessageID":"0a129aee-e1cd-480d-b08d-4f48548ff48d","ErrorCode":0}', "0a129aee-e1cd-480d-b08d-4f48548ff48d"),
        (b'{"id": 42}', "42"),
        (b'{"id": true}', None),
        (b'{"id": ""}', None),
        (b'{"id": "' + b"x" * 1000 + b'"}', "x" * 200),
        (b"OK", None),
        (b'{"id": "cut', None),
        (b"", None),
    ],
)
def test_the_id_of_the_provider_is_kept_when_the_body_has_one(body: bytes, found: str | None) -> None:
    """An operator finds the message by it in the provider's console."""
    assert answer_to(200, {}, duration=0.1, body=body).provider_id == found


@pytest.mark.parametrize(
    ("body", "remark"),
    [
        (b"mailbox full\nsecond line", "mailbox full"),
        (b"\n\n  mailbox full  \n", "mailbox full"),
        (b'{"error":"mailbox full"}', "mailbox full"),
        (b'{"ErrorCode":300,"Message":"mailbox full"}', "mailbox full"),
        (b'{"errors":[{"message":"mailbox full","field":null}]}', "mailbox full"),
        (b"unknown recipient ann.o'hara@example.com!", "unknown recipient [address]!"),
        (b'{"error":"<Mary@Example.com> is on a list, Mary"}', "<[removed]> is on a list, [removed]"),
        (b"\xff\x00\x1b[31m", "\ufffd  [31m"),
        (b"x" * 1000, "x" * 199 + "…"),
    ],
)
def test_a_refusal_keeps_the_first_line_of_what_the_service_said(body: bytes, remark: str) -> None:
    """Addresses and names are removed, because people who may not see them can read the row."""
    private = ("mary@example.com", "Mary", "")

    assert answer_to(422, {}, duration=0.1, body=body, private=private).error == f"422 Unprocessable Content: {remark}"


def test_the_part_of_an_address_before_the_at_sign_is_removed() -> None:
    """Mail servers name the mailbox so. It is removed as a word only: a summary stays one for `mary`."""
    body = b"Summary: no mailbox 'MARY' or mary, see mary@other.example"

    assert (
        first_line(body, private=("mary@example.com", "Ada", ""))
        == "Summary: no mailbox '[removed]' or [removed], see [address]"
    )


def test_a_short_name_is_removed_as_a_word_only() -> None:
    """Otherwise a name of one letter would make `5.1.1 Mailbox of A is at capacity` unreadable."""
    body = "5.1.1 Mailbox of A and 王 is at capacity".encode()

    assert first_line(body, private=("A", ".", "王")) == "5.1.1 Mailbox of [removed] and [removed] is at capacity"


@pytest.mark.parametrize("depth", [5, 100, 1000, 1010, 1020, 1024])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"message":', b"}")])
def test_a_deeply_nested_body_changes_no_outcome(depth: int, opening: bytes, closing: bytes) -> None:
    """An attempt that raises has an unknown outcome, although the service refused the message."""
    answer = answer_to(400, {}, duration=0.1, body=opening * depth + b'"x"' + closing * depth)

    assert answer.outcome is Outcome.PERMANENT_FAILURE
    assert len(str(answer.error)) <= 250


def test_a_long_word_without_an_address_takes_no_time() -> None:
    """It held up the event loop for as long as a node may be silent, when many answers had one."""
    assert len(_ADDRESS.findall("a" * 400_000)) == 0
