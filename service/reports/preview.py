"""A dry run of a window of instants, by pages: each greeting, and each user left out with the reason.

A window is read day by day (UTC), and each part in the order of its days and users. So the cost of a page does not
depend on the number of other users. Any page but the last may have fewer items than its limit, even none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from service.domain.calendar import Rule
from service.domain.dates import is_first_year
from service.domain.planning import OccasionDay, PlanningRules, days, occurrences, personal_occurrence
from service.ports import Candidate, Person, PersonalDay, Planned, Previews, Windows
from service.reports.eligibility import LeftOut, Prospect, prospect
from service.turns import Turns

BACK = timedelta(days=366)
AHEAD = timedelta(days=731)
"""A window may reach this far back and ahead of now."""

STATEMENTS_PER_PAGE = 200
"""Statements for one page, at most: two for each day of the window, and one for each day of an occasion that a user has
then. They take a few hundred milliseconds."""


DAY = timedelta(days=1)
"""A window has this length unless its end is given."""

LAST = datetime.max.replace(tzinfo=UTC)

START = OccasionDay("", 0, 0)
"""It is before every day."""


class OutOfReach(ValueError):
    """The window is empty, or reaches too far back or ahead. `field` is its wrong end."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"Expected {expected}.")
        self.field = field


def day_from(starts_at: datetime) -> datetime:
    """The end of a day that starts then; of the last day, the last instant."""
    return starts_at + min(DAY, LAST - starts_at)


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a preview: instants in [starts_at, ends_at), of one occasion or of all, of one user or of all.

    `deleted` includes deleted users who have no message in it.
    """

    starts_at: datetime
    ends_at: datetime
    occasion: str | None = None
    user_id: UUID | None = None
    deleted: bool = False

    def check(self, now: datetime) -> None:
        """Raises OutOfReach."""
        if not self.starts_at < self.ends_at:
            raise OutOfReach("to", "an instant after `from`")
        if self.starts_at < now - BACK:
            raise OutOfReach("from", f"no instant more than {BACK.days} days ago")
        for name, instant in (("from", self.starts_at), ("to", self.ends_at)):
            if instant > now + AHEAD:
                raise OutOfReach(name, f"no instant more than {AHEAD.days} days ahead")


@dataclass(frozen=True, slots=True)
class Position:
    """The end of a page: in the part of the window that starts there, at one day or (None) among messages orphaned,
    after the user or message of that id."""

    starts_at: datetime
    day: OccasionDay | None
    after: UUID | None


@dataclass(frozen=True, slots=True)
class PreviewPage:
    """Verdicts, and where the next page begins; None: this is the last."""

    items: list[Prospect]
    more: Position | None


@dataclass(slots=True)
class _Reading:
    """A page that is being read, and the statements that are left for it."""

    limit: int
    items: list[Prospect] = field(default_factory=list)
    statements: int = STATEMENTS_PER_PAGE
    turns: Turns = field(default_factory=Turns)

    @property
    def room(self) -> int:
        """Items that still fit in."""
        return self.limit - len(self.items)

    def takes_another(self) -> bool:
        """Take one of the statements that are left. False: there is none."""
        self.statements -= 1
        return self.statements >= 0


class Preview:
    """Looks at windows by the given rules."""

    def __init__(self, previews: Previews, rules: PlanningRules, planned: Planned, *, late_limit: timedelta) -> None:
        self._previews = previews
        self._rules = rules
        self._planned = planned
        self._late_limit = late_limit

    async def page(self, scope: Scope, *, after: Position | None, limit: int) -> PreviewPage:
        """Up to `limit` verdicts. Raises Unavailable."""
        if scope.user_id is not None:
            return await self._of_user(scope.user_id, scope, after, limit)
        reading = _Reading(limit)
        starts_at = scope.starts_at if after is None else after.starts_at
        while True:
            windows = Windows(starts_at, min(_midnight_after(starts_at), scope.ends_at), scope.starts_at, scope.ends_at)
            stopped = await self._part(scope, windows, after, reading)
            if stopped is not None or windows.ends_at >= scope.ends_at:
                return PreviewPage(reading.items, stopped)
            starts_at, after = windows.ends_at, None

    async def _part(self, scope: Scope, windows: Windows, after: Position | None, reading: _Reading) -> Position | None:
        """Add what a part of the window has; where it stopped, if it was not at the end of the part."""
        if not reading.takes_another():
            return Position(windows.starts_at, START, None)
        looked: dict[OccasionDay, dict[str, datetime]] = {}
        for day in await self._previews.days_with_users(self._days(scope, windows)):
            await reading.turns.give()
            rules: dict[str, Rule] = {}
            looked[day] = {}
            for zone, instant, rule in occurrences(self._rules, day, windows.starts_at, windows.ends_at):
                looked[day][zone], rules[zone] = instant, rule
            if after is not None and (after.day is None or _order(day) < _order(after.day)):
                continue
            at = after.after if after is not None and day == after.day else None
            if not rules:
                continue
            if not reading.takes_another():
                return Position(windows.starts_at, day, at)
            room = reading.room
            candidates = await self._previews.of_day(
                day,
                looked[day],
                windows,
                deleted=scope.deleted,
                after=at,
                limit=room + 1,
            )
            for candidate in candidates[:room]:
                at = candidate.user_id
                reading.items.append(self._verdict(candidate, rules[candidate.timezone], windows))
            if len(candidates) > room:
                return Position(windows.starts_at, day, at)
        at = after.after if after is not None and after.day is None else None
        if not reading.takes_another():
            return Position(windows.starts_at, None, at)
        room = reading.room
        candidates = await self._previews.orphaned(
            windows,
            looked,
            # An offset, also a replaced one, can move a day into another year.
            years=range(windows.starts_at.year - 1, windows.ends_at.year + 2),
            occasion=scope.occasion,
            after=at,
            limit=room + 1,
        )
        for candidate in candidates[:room]:
            at = candidate.message.id if candidate.message is not None else None
            reading.items.append(self._verdict(candidate, None, windows))
        return Position(windows.starts_at, None, at) if len(candidates) > room else None

    def _days(self, scope: Scope, windows: Windows) -> list[OccasionDay]:
        """The days that may have an instant in the part, in order, also those of inactive occasions."""
        found = days(self._rules, windows.starts_at, windows.ends_at, inactive=True)
        return sorted((day for day in found if scope.occasion in (None, day.occasion)), key=_order)

    def _verdict(self, candidate: Candidate, rule: Rule | None, windows: Windows) -> Prospect:
        message = candidate.message
        inside = message is not None and windows.whole_starts_at <= message.send_at < windows.whole_ends_at
        at = message.send_at if message is not None else candidate.send_at
        candidate = replace(candidate, inactive=self._rules.is_inactive(candidate.occasion, at))
        return prospect(candidate, rule, self._planned, late_limit=self._late_limit, shows_message=inside)

    async def _of_user(self, user_id: UUID, scope: Scope, after: Position | None, limit: int) -> PreviewPage:
        years = range(scope.starts_at.year - 1, scope.ends_at.year + 2)
        person = await self._previews.person(user_id, years)
        if person is None:
            return PreviewPage([], None)
        found = [
            verdict
            for day in person.days
            if scope.occasion in (None, day.occasion) and (verdict := self._of_person(person, day, scope)) is not None
        ]
        unseen = set(self._rules.understood) - {verdict.occasion for verdict in found}
        for day in person.days[: len({day.occasion for day in person.days})]:
            if day.occasion in unseen and scope.occasion in (None, day.occasion):
                found += _nowhere(person, day)
        items = sorted((one for one in found if after is None or _place(one) > _place_of(after)), key=_place)
        if len(items) <= limit:
            return PreviewPage(items, None)
        last = items[limit - 1]
        return PreviewPage(
            items[:limit], Position(scope.starts_at, OccasionDay(last.occasion, last.local_year or 0, 0), None)
        )

    def _of_person(self, person: Person, day: PersonalDay, scope: Scope) -> Prospect | None:
        """The verdict, or None when the window has neither the message nor the instant of the calendar."""
        candidate, rule = candidate_of(self._rules, person, day)
        message, send_at = candidate.message, candidate.send_at
        shows_message = message is not None and scope.starts_at <= message.send_at < scope.ends_at
        if not shows_message and (send_at is None or not scope.starts_at <= send_at < scope.ends_at):
            return None
        return prospect(candidate, rule, self._planned, late_limit=self._late_limit, shows_message=shows_message)


def candidate_of(rules: PlanningRules, person: Person, day: PersonalDay) -> tuple[Candidate, Rule | None]:
    """One user's day as stored, with the instant that the calendar gives it now, and the rule."""
    slot = None
    if day.date is not None and day.occasion in rules.understood:
        slot = personal_occurrence(rules, day.occasion, day.date, person.timezone, day.local_year)
    send_at, rule = slot or (None, None)
    at = send_at if day.message is None else day.message.send_at
    return (
        Candidate(
            person.user_id,
            day.occasion,
            day.local_year,
            person.timezone,
            person.created_at,
            person.deleted_at,
            send_at,
            day.message,
            send_at is not None and any(begin <= send_at < end for begin, end in day.to_plan),
            day.date is not None and is_first_year(day.date, day.local_year),
            person.suppressed,
            rules.is_inactive(day.occasion, at),
        ),
        rule,
    )


def _nowhere(person: Person, day: PersonalDay) -> list[Prospect]:
    """Reasons that hold in every window: there is no date, or the user is deleted."""
    if person.deleted_at is None and day.date is not None:
        return []
    left_out = LeftOut.NO_DATE if person.deleted_at is None else LeftOut.DELETED
    return [Prospect(person.user_id, day.occasion, None, person.timezone, None, None, None, left_out, None)]


def _place(one: Prospect) -> tuple[int, str]:
    return one.local_year or 0, one.occasion


def _place_of(position: Position) -> tuple[int, str]:
    return (position.day.local_year, position.day.occasion) if position.day else (0, "")


def _order(day: OccasionDay) -> tuple[int, int, str]:
    return day.local_year, day.month_day, day.occasion


def _midnight_after(instant: datetime) -> datetime:
    """The next midnight of UTC."""
    return datetime.combine(instant.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
