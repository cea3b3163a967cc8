"""The filter of `heyday when`: one output line for each input line."""

import io
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from datetime import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.commands.when import LONGEST_LINE, answer_all, filter_lines
from service.domain.calendar import LeapDay

QUESTION = {"occasion": "birthday", "date": "1992-02-29", "timezone": "Europe/London", "year": 2027}
ANSWER = b'{"send_at":"2027-02-28T09:00:00Z","local":"2027-02-28T09:00:00+00:00","rule":"leap_day"}\n'
HEYDAY_WHEN = [sys.executable, "-m", "actors.cli", "when"]


def line(**changed: object) -> bytes:
    return json.dumps(QUESTION | changed).encode()


def answers(data: bytes, *, at: time = time(9), leap_day: LeapDay = LeapDay.FEB28) -> list[dict[str, Any]]:
    out = io.BytesIO()
    answer_all(io.BytesIO(data), out, at=at, leap_day=leap_day)
    return [json.loads(answer) for answer in out.getvalue().splitlines()]


def test_an_answer_has_exactly_these_bytes() -> None:
    """Programs compare them."""
    out = io.BytesIO()

    answer_all(io.BytesIO(line()), out, at=time(9), leap_day=LeapDay.FEB28)

    assert out.getvalue() == ANSWER


@pytest.mark.parametrize(
    ("changed", "at", "leap_day", "answer"),
    [
        (
            {"date": "1990-12-30", "timezone": "Pacific/Apia", "year": 2011},
            time(9),
            LeapDay.FEB28,
            ("2011-12-30T19:00:00Z", "2011-12-31T09:00:00+14:00", "missing_date"),
        ),
        (
            {"date": "1990-03-09", "timezone": "America/New_York", "year": 2025},
            time(2, 30),
            LeapDay.FEB28,
            ("2025-03-09T07:00:00Z", "2025-03-09T03:00:00-04:00", "gap"),
        ),
        (
            {"date": "1990-11-02", "timezone": "America/New_York", "year": 2025},
            time(1, 30, 15),
            LeapDay.FEB28,
            ("2025-11-02T05:30:15Z", "2025-11-02T01:30:15-04:00", "overlap"),
        ),
        (
            {"occasion": "anniversary", "timezone": "Asia/Kathmandu", "year": 2028},
            time(9),
            LeapDay.SKIP,
            ("2028-02-29T03:15:00Z", "2028-02-29T09:00:00+05:45", "exact"),
        ),
        ({"timezone": "UTC"}, time(9), LeapDay.MAR1, ("2027-03-01T09:00:00Z", "2027-03-01T09:00:00+00:00", "leap_day")),
        ({}, time(9), LeapDay.SKIP, (None, None, "skipped")),
    ],
)
def test_the_rule_time_and_leap_day_are_honoured(
    changed: dict[str, object], at: time, leap_day: LeapDay, answer: tuple[str | None, str | None, str]
) -> None:
    """The answer names the rule. UTC is `Z` in an instant and `+00:00` in a local time."""
    [found] = answers(line(**changed), at=at, leap_day=leap_day)

    assert tuple(found.values()) == answer
    assert list(found) == ["send_at", "local", "rule"]


def test_a_date_without_a_year_is_that_of_every_year() -> None:
    """Users have such dates."""
    common, leap = answers(
        line(date="--02-29", timezone="UTC", year=2027) + b"\n" + line(date="--02-29", timezone="UTC", year=2028)
    )

    assert (common["send_at"], common["rule"]) == ("2027-02-28T09:00:00Z", "leap_day")
    assert (leap["send_at"], leap["rule"]) == ("2028-02-29T09:00:00Z", "exact")


def test_an_offset_with_seconds_is_rounded_in_the_local_time_only() -> None:
    """Offsets had seconds until 1972, but not in RFC 3339. The instant is exact."""
    [found] = answers(line(date="1990-06-01", timezone="Africa/Monrovia", year=1950))

    assert found == {"send_at": "1950-06-01T09:44:30Z", "local": "1950-06-01T09:00:00-00:45", "rule": "exact"}


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (b"", "blank line"),
        (b"  \t", "blank line"),
        (b"\r", "blank line"),
        (b"{", "not JSON"),
        (b"\xef\xbb\xbf" + line(), "not JSON"),
        (b'{"occasion":"\xff"}', "not JSON"),
        (b'{"occasion":"\\ud800"}', "not JSON"),
        (b"\0", "not JSON"),
        (line() + b"\0", "not JSON"),
        (line() + line(), "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b"[" * 300 + b"]" * 300, "expected a JSON object, not an array"),
        (b"NaN", "not JSON"),
        (b"1" * 10_000, "not JSON"),
        (b"null", "expected a JSON object, not null"),
        (b'"birthday"', 'expected a JSON object, not "birthday"'),
        (b"{}", "occasion: missing"),
        (b'{"occasion":"birthday","date":"1990-01-01","year":2027}', "timezone: missing, expected an IANA name"),
        (line(occasion="Birthday"), 'occasion: expected a code such as birthday or anniversary, not "Birthday"'),
        (line(occasion=None), "occasion: expected"),
        (line(occasion=["birthday"]), "occasion: expected"),
        (line(date="2001-02-29"), "date: expected a day of the calendar as YYYY-MM-DD"),
        (line(date="2001-13-01"), "date: expected"),
        (line(date="0000-01-01"), "date: expected"),
        (line(date="20010228"), "date: expected"),
        (line(date="2001-W09-3"), "date: expected"),
        (line(date="2001-2-28"), "date: expected"),
        (line(date="2001-02-28T00:00"), "date: expected"),
        (line(date="2001-02-28\n"), "date: expected"),
        (line(date="２００１-02-28"), "date: expected"),
        (line(date="--02-30"), "date: expected"),
        (line(date="-02-28"), "date: expected"),
        (line(date=20010228), "date: expected a day of the calendar as YYYY-MM-DD, or as --MM-DD, not 20010228"),
        (line(date={"year": 2001}), "date: expected a day of the calendar as YYYY-MM-DD, or as --MM-DD, not an object"),
        (line(timezone="Europe/Atlantis"), "timezone: unknown time zone 'Europe/Atlantis'"),
        (line(timezone="europe/london"), "timezone: unknown"),
        (line(timezone="../../etc/passwd"), "timezone: unknown"),
        (line(timezone="a\0b"), "timezone: unknown"),
        (line(timezone=None), "timezone: expected an IANA name such as Europe/Paris, not null"),
        (line(year="2027"), 'year: expected an integer from 1 to 9999, not "2027"'),
        (line(year=True), "year: expected an integer from 1 to 9999, not true"),
        (line(year=2027.0), "year: expected"),
        (line(year=0), "year 0: expected 1 to 9999"),
        (line(year=10_000), "year 10000: expected"),
        (line(year=-1), "year -1: expected"),
        (line(year=10**18), "year 1000000000000000000: expected"),
        (line(year=10**40), "year: expected"),
        (line(date="1990-01-01", timezone="Etc/GMT-14", year=1), "year 1: the instant in UTC lies outside"),
    ],
)
def test_an_invalid_line_gives_an_error_and_the_next_goes_on(broken: bytes, text: str) -> None:
    """An error has the position of its line, and affects no other line."""
    before, found, after = answers(b"\n".join([line(), broken, line()]))

    assert found["error"].startswith(text)
    assert list(found) == ["error"]
    assert before == after == json.loads(ANSWER)


@pytest.mark.parametrize("extra", [{"id": 7}, {"date ": None}, {"nested": {"a": [1, 2]}}])
def test_further_fields_are_ignored(extra: dict[str, object]) -> None:
    """A row may contain an id."""
    assert answers(line(**extra)) == [json.loads(ANSWER)]


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("between", [b"\n", b"\r\n"])
def test_the_last_line_may_end_or_not_and_lines_may_end_as_on_windows(between: bytes, end: bytes) -> None:
    """The number of answers is the number of lines."""
    assert len(answers(between.join([line(), line(), line()]) + end)) == 3


@pytest.mark.parametrize("cut", [1, 2, 3, 1000])
def test_a_byte_order_mark_before_the_first_line_is_ignored(cut: int) -> None:
    """Windows programs write it. A pipe may cut it into pieces."""
    data = b"\xef\xbb\xbf" + line() + b"\n" + line() + b"\n"
    out = io.BytesIO()

    filter_lines(
        [data[start : start + cut] for start in range(0, len(data), cut)], out, at=time(9), leap_day=LeapDay.FEB28
    )

    assert out.getvalue() == ANSWER * 2


@pytest.mark.parametrize("data", [b"\xef", b"\xef\xbb", b"\xef\xbb\xbf"])
def test_an_input_that_ends_within_a_byte_order_mark_is_read_to_its_end(data: bytes) -> None:
    """A mark alone is an empty file. Part of one is an invalid line."""
    assert len(answers(data)) == (0 if data == b"\xef\xbb\xbf" else 1)


def test_no_input_has_no_answer() -> None:
    """An empty file becomes an empty file."""
    assert answers(b"") == []


def test_a_line_longer_than_any_question_is_an_error_and_is_not_kept() -> None:
    """A gigabyte without a line break must neither fill the memory nor hide the next line."""
    padded = line() + b" " * (LONGEST_LINE - len(line()))
    pieces = [padded + b"\n", *[b"x" * LONGEST_LINE] * 100, b"\n" + line() + b"\n" + padded + b" "]
    out = io.BytesIO()
    tracemalloc.start()

    filter_lines(pieces, out, at=time(9), leap_day=LeapDay.FEB28)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * LONGEST_LINE
    first, too_long, next_one, last = out.getvalue().splitlines(keepends=True)
    assert first == next_one == ANSWER
    assert b"line too long" in too_long
    assert b"line too long" in last


@settings(max_examples=100, derandomize=True)
@given(
    rows=st.lists(st.sampled_from([line(), b"", b"{", line(year=0)]) | st.binary(max_size=40), max_size=8),
    cut=st.integers(1, 50),
)
def test_answers_do_not_depend_on_how_the_input_is_cut(rows: list[bytes], cut: int) -> None:
    """A pipe may cut the input at any byte. Any bytes give one line of JSON for each line."""
    data = b"".join(row + b"\n" for row in rows)
    pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
    whole, cut_up = io.BytesIO(), io.BytesIO()

    filter_lines([data], whole, at=time(9), leap_day=LeapDay.FEB28)
    filter_lines(pieces, cut_up, at=time(9), leap_day=LeapDay.FEB28)

    assert cut_up.getvalue() == whole.getvalue()
    assert len([json.loads(answer) for answer in whole.getvalue().splitlines()]) == data.count(b"\n")


class ShortWriter(io.BytesIO):
    """A stream that takes a few bytes at a time, as an unbuffered one may."""

    def write(self, data: Any, /) -> int:
        return super().write(data[:7])


def test_an_output_that_takes_little_at_a_time_gets_everything() -> None:
    """`python -u` has such a stream. The other bytes must not be lost."""
    out = ShortWriter()

    answer_all(io.BytesIO(line()), out, at=time(9), leap_day=LeapDay.FEB28)

    assert out.getvalue() == ANSWER


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_line_that_trickles_in_is_answered_at_once(buffering: int) -> None:
    """A program may wait for each answer before it sends the next line."""
    questions, ask = os.pipe()
    reply, replies = os.pipe()
    with open(questions, "rb", buffering) as stdin, open(replies, "wb", buffering) as stdout:
        filtering = threading.Thread(
            target=answer_all, args=(stdin, stdout), kwargs={"at": time(9), "leap_day": LeapDay.FEB28}, daemon=True
        )
        filtering.start()

        with open(reply, "rb") as answered, open(ask, "wb", 0) as asking:
            for _ in range(3):
                asking.write(line()[:10])
                asking.write(line()[10:] + b"\n")
                assert answered.readline() == ANSWER  # waits for ever, and the test times out, if nothing is flushed
        filtering.join()


def test_a_reader_that_leaves_ends_the_filter_quietly() -> None:
    """`heyday when < million.ndjson | head` must not end in a traceback."""
    with subprocess.Popen(
        HEYDAY_WHEN, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(line() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == ANSWER
        process.stdout.close()
        process.stdin.write(line() + b"\n")
        process.stdin.close()

        assert process.wait() == 0
        assert process.stderr.read() == b""
