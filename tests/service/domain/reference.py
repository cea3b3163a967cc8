"""A second, slow and plain calendar, to check the fast one.

It only computes the local time of an instant, which zone data defines without exception. It never computes the instant
of a local time, where folds and gaps cause bugs.
"""

from datetime import UTC, date, datetime, time, timedelta

from hypothesis import strategies as st

from service.domain.calendar import Rule
from service.domain.zones import zone, zone_names

HALF_HOUR = timedelta(minutes=30)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def expected(day: date, timezone: str, at: time) -> tuple[Rule, datetime]:
    """Return the rule and the instant (UTC) for a date and a time of day, without leap-day rules."""
    wanted = datetime.combine(day, at)
    pieces = _pieces(timezone, wanted)
    hits = [wanted - offset for start, end, offset in pieces if start + offset <= wanted < end + offset]
    if hits:
        return (Rule.EXACT if len(hits) == 1 else Rule.OVERLAP), min(hits).replace(tzinfo=UTC)
    midnight = datetime.combine(day, time.min)
    if not any(start + offset < midnight + DAY and midnight < end + offset for start, end, offset in pieces):
        return Rule.MISSING_DATE, expected(day + DAY, timezone, at)[1]
    return Rule.GAP, min(start for start, _, offset in pieces if start + offset > wanted).replace(tzinfo=UTC)


def _pieces(timezone: str, around: datetime) -> list[tuple[datetime, datetime, timedelta]]:
    """Return the days around as (from, to, offset), in naive UTC.

    No zone changes its clocks twice within half an hour.
    """
    first, last = around - 3 * DAY, around + 3 * DAY
    pieces, start, here = [], first, first
    while here < last:
        following = here + HALF_HOUR
        offset = _offset(timezone, here)
        if _offset(timezone, following) != offset:
            low, high = here, following
            while high - low > SECOND:
                middle = low + timedelta(seconds=(high - low) // SECOND // 2)
                low, high = (middle, high) if _offset(timezone, middle) == offset else (low, middle)
            pieces.append((start, high, offset))
            start = high
        here = following
    return [*pieces, (start, last, _offset(timezone, here))]


def _offset(timezone: str, instant: datetime) -> timedelta:
    offset = instant.replace(tzinfo=UTC).astimezone(zone(timezone)).utcoffset()
    assert offset is not None
    return offset


def days_of_change(timezone: str, year: int) -> list[date]:
    """Return the dates of the year, in UTC, on which the zone changes its clocks."""
    days = [datetime(year, 1, 1, tzinfo=None) + n * DAY for n in range(365)]  # noqa: DTZ001 - naive UTC
    offsets = [_offset(timezone, day) for day in days]
    changes = zip(days, offsets, offsets[1:], strict=False)
    return [day.date() for day, before, after in changes if before != after]


ZONES = st.sampled_from(sorted(zone_names()))
TIMES = st.sampled_from([time(9), time(0), time(23, 59, 59), time(2, 30), time(1)]) | st.times().map(
    lambda at: at.replace(microsecond=0)
)


@st.composite
def days(draw: st.DrawFn, timezone: str) -> date:
    """Draw any date, or as often one within two days of a clock change of that zone."""
    year = draw(st.integers(1840, 2100) | st.integers(1970, 2040))
    changes = days_of_change(timezone, year) if draw(st.booleans()) else []
    if changes:
        return draw(st.sampled_from(changes)) + draw(st.integers(-2, 2)) * DAY
    return draw(st.dates(date(year, 1, 1), date(year, 12, 31)))
