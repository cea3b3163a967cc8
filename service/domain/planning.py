"""Calendar rules applied to stored days: what to plan, and the instant of each greeting.

The daily job, a planner's range, one user's edit and a preview all use these functions, so they cannot disagree.
"""

from __future__ import annotations

from calendar import isleap
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from typing import NamedTuple
from uuid import UUID

from service.domain.calendar import NINE, DayRules, LeapDay, Occurrence, OutOfRange, Rule, Weekend, occurrence
from service.domain.dates import OccasionDate, first_year, stored_date
from service.domain.occasions import OccasionProblem, OccasionRow
from service.domain.windows import days_of_interest, occurrences_in
from service.domain.zones import zone_names

HORIZON = timedelta(hours=48)
"""The daily job plans this far ahead, so that a missed run leaves a day to notice it."""


_LEAP_YEAR = 2000
"""A year that has every day. Only month and day of a user's date decide the day of an occurrence."""


@dataclass(frozen=True, slots=True)
class OccasionDay:
    """One day of one occasion (`month_day` is month * 100 + day) in one local year."""

    occasion: str
    local_year: int
    month_day: int


@dataclass(frozen=True, slots=True)
class PlanRange:
    """Users of one day, after `after_user` and up to `until_user`, for the instants in [starts_at, ends_at).

    `replans`: the rules have changed, so existing messages move from any instant to that of the present rules.
    """

    day: OccasionDay
    after_user: UUID | None
    until_user: UUID | None
    starts_at: datetime
    ends_at: datetime
    replans: bool = False


@dataclass(frozen=True, slots=True)
class DesiredMessage:
    """The instant that a user's occasion should have in a local year; None: it has none.

    `rules_version` is the version of the rules that computed it. Only messages by the present rules are stored.
    """

    occasion: str
    local_year: int
    send_at: datetime | None
    rules_version: int | None = None


@dataclass(frozen=True, slots=True)
class UnsentDay:
    """The number of unsent messages of one day in one zone, all due at `send_at`."""

    day: OccasionDay
    timezone: str
    send_at: datetime
    messages: int


@dataclass(frozen=True, slots=True)
class TzdataMove:
    """Messages whose instant differs under newer zone data: the old one is in `unsent`, the new one is `send_at`."""

    unsent: UnsentDay
    send_at: datetime


@dataclass(frozen=True, slots=True)
class CalendarDefaults:
    """Time of day and leap-day rule of an occasion without its own: `HEYDAY_SEND_AT` and `HEYDAY_LEAP_DAY`."""

    send_at: time = NINE
    leap_day: LeapDay = LeapDay.FEB28

    def __str__(self) -> str:
        return f"{self.send_at:%H:%M:%S} {self.leap_day}"


@dataclass(frozen=True)  # no slots: what every row of an import asks for is worked out once
class PlanningRules:
    """The rules of all occasions: an occasion's own, else the defaults.

    `version` grows with every change of these rules in the database; `problems` names what is wrong with occasions.
    `written`: a node has written the defaults; until then those of the node that asks count.
    """

    send_at: time
    leap_day: LeapDay
    occasions: tuple[OccasionRow, ...]
    version: int | None = None
    problems: tuple[OccasionProblem, ...] = ()
    written: bool = True

    def row(self, code: str) -> OccasionRow:
        """An occasion, also one that is not active. Raises LookupError."""
        for row in self.occasions:
            if row.code == code:
                return row
        raise LookupError(f"no occasion {code!r}")

    def of(self, code: str) -> DayRules:
        """Return the rules of the occasion's day. Raises LookupError."""
        if (found := self._day_rules.get(code)) is None:
            raise LookupError(f"no occasion {code!r}")
        return found

    @cached_property
    def _day_rules(self) -> Mapping[str, DayRules]:
        return {
            row.code: DayRules(
                row.send_at or self.send_at,
                LeapDay(row.leap_day) if row.leap_day else self.leap_day,
                row.weekend,
                row.offset_days,
            )
            for row in self.occasions
        }

    def is_inactive(self, code: str, send_at: datetime | None) -> bool:
        """True when the occasion is not active, or was not at that instant."""
        if code not in self.understood:
            return False
        row = self.row(code)
        since = row.active_since
        return not row.active or (send_at is not None and since is not None and send_at <= since)

    @cached_property
    def codes(self) -> frozenset[str]:
        """The occasions that take part in planning."""
        return frozenset(row.code for row in self.occasions if row.active)

    @cached_property
    def understood(self) -> tuple[str, ...]:
        """The occasions whose rows are understood, in order, also those that are not active."""
        return tuple(row.code for row in self.occasions)


def horizon(now: datetime) -> datetime:
    """The instant up to which to plan at `now`: on the hour, so that nodes which start together agree on it."""
    return now.replace(minute=0, second=0, microsecond=0) + HORIZON


def days(rules: PlanningRules, starts_at: datetime, ends_at: datetime, *, inactive: bool = False) -> list[OccasionDay]:
    """Every active occasion's every day with an instant in [starts_at, ends_at) somewhere in the world, in order.

    With `inactive`, also those of the occasions that are not active.
    """
    return _days(_shifts(rules, inactive=inactive), starts_at, ends_at)


def days_to_announce(rules: PlanningRules, starts_at: datetime, ends_at: datetime) -> list[OccasionDay]:
    """Return `days`, and the days of occasions that are left out: they are planned once their rows are understood."""
    left_out = [_Shift(problem.code, problem.offset_days, True) for problem in rules.problems if problem.left_out]
    return _days([*_shifts(rules), *left_out], starts_at, ends_at)


def days_to_replan(offsets: Mapping[str, Iterable[int]], starts_at: datetime, ends_at: datetime) -> list[OccasionDay]:
    """The days whose messages may have, or should have, an instant in [starts_at, ends_at), by any weekend rule.

    `offsets` has the days before or after the date that an occasion has, and those that it had before.
    """
    shifts = (_Shift(code, offset, True) for code, of_code in offsets.items() for offset in of_code)
    return _days(shifts, starts_at, ends_at)


class _Shift(NamedTuple):
    """The distance of an occasion's instants from its dates, at most; `weekends`: a weekend rule moves them, too."""

    code: str
    offset_days: int
    weekends: bool


def _shifts(rules: PlanningRules, *, inactive: bool = False) -> list[_Shift]:
    return [
        _Shift(row.code, row.offset_days, row.weekend is not Weekend.KEEP)
        for row in rules.occasions
        if row.active or inactive
    ]


def _days(shifts: Iterable[_Shift], starts_at: datetime, ends_at: datetime) -> list[OccasionDay]:
    found = {
        (local_year, month_day, shift.code)
        for shift in shifts
        for local_year, month_day in days_of_interest(
            starts_at, ends_at, offset_days=shift.offset_days, weekends=shift.weekends
        )
    }
    return [OccasionDay(code, local_year, month_day) for local_year, month_day, code in sorted(found)]


def instants(rules: PlanningRules, planned: PlanRange) -> Sequence[tuple[str, datetime]]:
    """The zones in which the range's day has an instant within [starts_at, ends_at), and that instant.

    A range that replans has all zones. An occasion that is not active has none.
    """
    if planned.day.occasion not in rules.codes:
        return []
    found = _everywhere(planned.day.month_day, planned.day.local_year, rules.of(planned.day.occasion))
    return [
        (zone, send_at)
        for send_at, _rule, zones in found
        if planned.replans or planned.starts_at <= send_at < planned.ends_at
        for zone in zones
    ]


def occurrences(
    rules: PlanningRules, day: OccasionDay, starts_at: datetime, ends_at: datetime
) -> list[tuple[str, datetime, Rule]]:
    """The occurrences of a day in [starts_at, ends_at): zone, instant, and the rule that decided it.

    A skipped leap day has no instant. To show it all the same, it is listed as `Rule.SKIPPED` at the instant that it
    would have on 28 February.
    """
    due = rules.of(day.occasion)
    skipped = day.month_day == 229 and due.leap_day is LeapDay.SKIP and not isleap(day.local_year)
    found = _everywhere(day.month_day, day.local_year, replace(due, leap_day=LeapDay.FEB28) if skipped else due)
    return [
        (zone, send_at, Rule.SKIPPED if skipped else rule)
        for send_at, rule, zones in found
        if starts_at <= send_at < ends_at
        for zone in zones
    ]


def personal_occurrence(
    rules: PlanningRules, occasion: str, day: OccasionDate, timezone: str, local_year: int
) -> tuple[datetime, Rule] | None:
    """Compute the occurrence of one user's date in one local year; None when no datetime can hold the instant."""
    due = rules.of(occasion)
    try:
        found = _occurrence(stored_date(day), timezone, local_year, due)
        rule = found.rule
        if rule is Rule.SKIPPED:
            found = _occurrence(stored_date(day), timezone, local_year, replace(due, leap_day=LeapDay.FEB28))
    except OutOfRange:
        return None
    return None if found.send_at is None else (found.send_at, rule)


def _occurrence(day: date, timezone: str, local_year: int, due: DayRules) -> Occurrence:
    return occurrence(
        day,
        timezone,
        local_year,
        at=due.at,
        leap_day=due.leap_day,
        weekend=due.weekend,
        offset_days=due.offset_days,
    )


_BEGIN, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@lru_cache(maxsize=1024)  # the days near one day of a preview, of all occasions; about 12 MB
def _everywhere(month_day: int, local_year: int, due: DayRules) -> Sequence[tuple[datetime, Rule, Sequence[str]]]:
    """Every instant of the day, with its rule and zones."""
    zones = defaultdict[tuple[datetime, Rule], list[str]](list)
    for zone, send_at, rule in occurrences_in(
        month_day,
        local_year,
        zone_names(),
        _BEGIN,
        _END,
        at=due.at,
        leap_day=due.leap_day,
        weekend=due.weekend,
        offset_days=due.offset_days,
    ):
        zones[send_at, rule].append(zone)
    return [(send_at, rule, names) for (send_at, rule), names in zones.items()]


def desired_messages(
    rules: PlanningRules, dates: Mapping[str, OccasionDate | None], timezone: str, *, now: datetime
) -> list[DesiredMessage]:
    """Compute the messages of one user's days: of last local year, this one and the next.

    `dates` has every occasion that may have changed; None means that there is no date, or no longer. A day has no
    message in the year of the date itself, nor before. An occasion that is not active has none: planning cancels what
    is unsent by the users' dates, so it would not find a message whose user has another date by then. Occasions that
    are left out are not touched.
    """
    known, active = rules.understood, rules.codes
    result: list[DesiredMessage] = []
    for occasion, day in dates.items():
        if occasion not in known:
            continue
        if day is None or occasion not in active:
            result += (DesiredMessage(occasion, year, None, rules.version) for year in _years_around(now.year))
            continue
        found = _around(occasion, day.month, day.day, timezone, now.year, rules.of(occasion), rules.version)
        if (year := first_year(day)) is None or year < found[0].local_year:
            result += found
        else:
            result += (replace(one, send_at=None) if one.local_year <= year else one for one in found)
    return result


def _years_around(year: int) -> tuple[int, int, int]:
    return year - 1, year, year + 1


@lru_cache(maxsize=16_384)  # the days of the zones in which most users live; about 10 MB
def _around(
    occasion: str, month: int, day: int, timezone: str, year: int, due: DayRules, version: int | None
) -> tuple[DesiredMessage, ...]:
    return tuple(
        DesiredMessage(occasion, local_year, _send_at(month, day, timezone, local_year, due), version)
        for local_year in _years_around(year)
    )


def _send_at(month: int, day: int, timezone: str, year: int, due: DayRules) -> datetime | None:
    try:
        return _occurrence(date(_LEAP_YEAR, month, day), timezone, year, due).send_at
    except OutOfRange:
        return None


def moved_by_tzdata(rules: PlanningRules, unsent: Sequence[UnsentDay]) -> list[TzdataMove]:
    """The days whose instant differs by the zone data of this node.

    A day that has no instant any more, and one of an occasion that the rules leave out, stays as it is.
    """
    known = rules.codes
    result = []
    for one in unsent:
        day = one.day
        if day.occasion not in known:
            continue
        everywhere = _everywhere(day.month_day, day.local_year, rules.of(day.occasion))
        send_at = next((send_at for send_at, _rule, zones in everywhere if one.timezone in zones), None)
        if send_at is not None and send_at != one.send_at:
            result.append(TzdataMove(one, send_at))
    return result


def summarize(moves: Sequence[TzdataMove]) -> list[str]:
    """Lines for people: zone, hours, and number of messages moved; the largest number first."""
    by_zone: Counter[tuple[str, float]] = Counter()
    for move in moves:
        hours = (move.send_at - move.unsent.send_at) / timedelta(hours=1)
        by_zone[move.unsent.timezone, hours] += move.unsent.messages
    return [f"{zone} {hours:+g} h: {count}" for (zone, hours), count in by_zone.most_common()]
