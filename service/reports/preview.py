"""A dry run of a window of instants: who gets what when, and who is left out and why, by pages.

A window is looked at day by day (of UTC), each in the order of its days and their users: so a page costs a page,
whoever else there is, and a page may hold less than it could, even nothing, before the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from service.domain.calendar import Rule
from service.planning import Rules, days, personal_slot, slots
from service.ports import Candidate, Day, Person, PersonalDay, Planned, Previews, Windows
from service.prospects import LeftOut, Prospect, prospect

BACK = timedelta(days=366)
AHEAD = timedelta(days=731)
"""How far back and ahead of now a window may reach."""

DAYS_PER_PAGE = 100
"""Days looked at for one page: a few milliseconds each when nobody has them."""


START = Day("", 0, 0)
"""Before every day there is."""


class OutOfReach(ValueError):
    """The window is empty, or reaches further back or ahead than there is to see; `field` is its wrong end."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"Expected {expected}.")
        self.field = field


@dataclass(frozen=True, slots=True)
class Scope:
    """What to look at: instants in [starts_at, ends_at), of one occasion or of all, of one user or of all.

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
        if self.ends_at > now + AHEAD:
            raise OutOfReach("to", f"no instant more than {AHEAD.days} days ahead")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ends: in the part of the window that starts there, at one day or (None) among messages astray,
    after the user or message of that id."""

    starts_at: datetime
    day: Day | None
    after: UUID | None


@dataclass(frozen=True, slots=True)
class PreviewPage:
    """Verdicts, and where the next page begins; None: this is the last."""

    items: list[Prospect]
    more: Position | None


class Preview:
    """Looks at windows by the given rules."""

    def __init__(self, previews: Previews, rules: Rules, planned: Planned, *, late_limit: timedelta) -> None:
        self._previews = previews
        self._rules = rules
        self._planned = planned
        self._late_limit = late_limit

    async def page(self, scope: Scope, *, after: Position | None, limit: int) -> PreviewPage:
        """Up to `limit` verdicts. Raises Unavailable."""
        if scope.user_id is not None:
            return await self._of_user(scope.user_id, scope, after, limit)
        items: list[Prospect] = []
        starts_at = scope.starts_at if after is None else after.starts_at
        for _ in range(DAYS_PER_PAGE):
            windows = Windows(starts_at, min(_midnight_after(starts_at), scope.ends_at), scope.starts_at, scope.ends_at)
            stopped = await self._part(scope, windows, after, limit, items)
            if stopped is not None:
                return PreviewPage(items, stopped)
            if windows.ends_at >= scope.ends_at:
                return PreviewPage(items, None)
            starts_at, after = windows.ends_at, None
        return PreviewPage(items, Position(starts_at, START, None))

    async def _part(
        self, scope: Scope, windows: Windows, after: Position | None, limit: int, items: list[Prospect]
    ) -> Position | None:
        """Add what a part of the window has; where it stopped, if it was not at the end of the part."""
        looked = dict(self._looked(scope, windows))
        for day, found in looked.items():
            if after is not None and (after.day is None or _order(day) < _order(after.day)):
                continue
            at = after.after if after is not None and day == after.day else None
            room = limit - len(items)
            candidates = await self._previews.of_day(
                day,
                {zone: instant for zone, (instant, _rule) in found.items()},
                windows,
                deleted=scope.deleted,
                after=at,
                limit=room + 1,
            )
            for candidate in candidates[:room]:
                at = candidate.user_id
                items.append(self._verdict(candidate, found[candidate.timezone][1], windows))
            if len(candidates) > room:
                return Position(windows.starts_at, day, at)
        at = after.after if after is not None and after.day is None else None
        room = limit - len(items)
        candidates = await self._previews.astray(
            windows,
            {day: {zone: instant for zone, (instant, _rule) in found.items()} for day, found in looked.items()},
            years=sorted({day.local_year for day in days(self._rules, windows.starts_at, windows.ends_at)}),
            occasion=scope.occasion,
            after=at,
            limit=room + 1,
        )
        for candidate in candidates[:room]:
            at = candidate.message.id if candidate.message is not None else None
            items.append(self._verdict(candidate, None, windows))
        return Position(windows.starts_at, None, at) if len(candidates) > room else None

    def _looked(self, scope: Scope, windows: Windows) -> Iterator[tuple[Day, dict[str, tuple[datetime, Rule]]]]:
        """Every day with an instant in the part, and its zones there with instant and rule, in order."""
        for day in sorted(days(self._rules, windows.starts_at, windows.ends_at), key=_order):
            if scope.occasion in (None, day.occasion):
                found = slots(self._rules, day, windows.starts_at, windows.ends_at)
                if found:
                    yield day, {zone: (instant, rule) for zone, instant, rule in found}

    def _verdict(self, candidate: Candidate, rule: Rule | None, windows: Windows) -> Prospect:
        message = candidate.message
        inside = message is not None and windows.whole_starts_at <= message.send_at < windows.whole_ends_at
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
        seen = {verdict.occasion for verdict in found}
        for day in person.days[: len({day.occasion for day in person.days})]:
            if day.occasion not in seen and scope.occasion in (None, day.occasion):
                found += _nowhere(person, day)
        items = sorted((one for one in found if after is None or _place(one) > _place_of(after)), key=_place)
        if len(items) <= limit:
            return PreviewPage(items, None)
        last = items[limit - 1]
        return PreviewPage(items[:limit], Position(scope.starts_at, Day(last.occasion, last.local_year or 0, 0), None))

    def _of_person(self, person: Person, day: PersonalDay, scope: Scope) -> Prospect | None:
        """The verdict, or None when the window has neither the message nor the instant of the calendar."""
        candidate, rule = candidate_of(self._rules, person, day)
        message, send_at = candidate.message, candidate.send_at
        shows_message = message is not None and scope.starts_at <= message.send_at < scope.ends_at
        if not shows_message and (send_at is None or not scope.starts_at <= send_at < scope.ends_at):
            return None
        return prospect(candidate, rule, self._planned, late_limit=self._late_limit, shows_message=shows_message)


def candidate_of(rules: Rules, person: Person, day: PersonalDay) -> tuple[Candidate, Rule | None]:
    """What is stored about one user's day, with the instant that the calendar gives it now, and the rule."""
    slot = day.date and personal_slot(rules, day.occasion, day.date, person.timezone, day.local_year)
    send_at, rule = slot or (None, None)
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
        ),
        rule,
    )


def _nowhere(person: Person, day: PersonalDay) -> list[Prospect]:
    """What is so in every window: there is no date, or no such user any more."""
    if person.deleted_at is None and day.date is not None:
        return []
    left_out = LeftOut.NO_DATE if person.deleted_at is None else LeftOut.DELETED
    return [Prospect(person.user_id, day.occasion, None, person.timezone, None, None, None, left_out, None)]


def _place(one: Prospect) -> tuple[int, str]:
    return one.local_year or 0, one.occasion


def _place_of(position: Position) -> tuple[int, str]:
    return (position.day.local_year, position.day.occasion) if position.day else (0, "")


def _order(day: Day) -> tuple[int, int, str]:
    return day.local_year, day.month_day, day.occasion


def _midnight_after(instant: datetime) -> datetime:
    """The next midnight of UTC."""
    return datetime.combine(instant.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
