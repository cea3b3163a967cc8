"""The fake of the port `Planning`: the announced instant, the ranges still to plan, the messages made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from service.adapters.postgres.planning import USERS_PER_RANGE
from service.ports import Day, OccasionRow, Planned, PlanRange
from tests.fakes.rows import UserRow, check
from tests.fakes.truth import Truth

JOB_RUNS_KEPT = timedelta(days=30)


class FakePlanning:
    """Implements `service.ports.Planning`. Fewer `users_per_range` make more ranges of a small crowd."""

    def __init__(self, truth: Truth, *, users_per_range: int = USERS_PER_RANGE) -> None:
        self._truth = truth
        self._users_per_range = users_per_range

    async def occasions(self) -> list[OccasionRow]:
        return [self._truth.occasions[code] for code in sorted(self._truth.occasions)]

    async def planned(self) -> Planned:
        truth = self._truth
        starts = (planned.starts_at for planned, _ in truth.plan_ranges.values())
        return Planned(truth.now(), truth.planned_up_to, min(starts, default=truth.planned_up_to))

    async def announce(
        self, job: str, scheduled_at: datetime, *, incarnation: int, up_to: datetime, days: Sequence[Day]
    ) -> list[int] | None:
        truth, now = self._truth, self._truth.now()
        truth.years |= {day.local_year for day in days} | {up_to.year + 1}
        check("job_runs_job_check", holds=job in {"daily", "minute", "recovery"})
        if (job, scheduled_at) in truth.job_runs:
            return None
        truth.job_runs[job, scheduled_at] = (incarnation, now)
        truth.job_runs = {key: run for key, run in truth.job_runs.items() if run[1] >= now - JOB_RUNS_KEPT}
        if truth.planned_up_to >= up_to:
            return []
        made = []
        for day in days:
            cuts = self._cuts(day)
            for after, until in zip([None, *cuts], [*cuts, None], strict=True):
                made.append(truth.add_range(PlanRange(day, after, until, truth.planned_up_to, up_to)))
        truth.planned_up_to = up_to
        return made

    async def open_ranges(self, *, older_than: float, limit: int) -> list[int]:
        before = self._truth.real_now() - timedelta(seconds=older_than)
        return [number for number, (_, at) in sorted(self._truth.plan_ranges.items()) if at < before][:limit]

    async def plan(
        self, range_id: int, instants: Callable[[PlanRange], Sequence[tuple[str, datetime]]], *, tzdata: str
    ) -> int | None:
        truth = self._truth
        if range_id not in truth.plan_ranges:
            return None
        window, _ = truth.plan_ranges[range_id]
        zones = instants(window)
        del truth.plan_ranges[range_id]
        made = 0
        for user in self._of_day(window.day):
            within = (window.after_user is None or user.id > window.after_user) and (
                window.until_user is None or user.id <= window.until_user
            )
            for zone, at in zones:
                if within and user.deleted_at is None and zone == user.profile.timezone and user.created_at < at:
                    day = window.day
                    made += truth.insert_message(user, day.occasion, day.local_year, at, due_at=at, tzdata=tzdata)
        return made

    def _of_day(self, day: Day) -> list[UserRow]:
        """The users with that day, deleted ones too, in the order of their ids."""
        dates = ((row, row.profile.dates.get(day.occasion)) for row in self._truth.users.values())
        found = (row for row, date in dates if date is not None and date.month * 100 + date.day == day.month_day)
        return sorted(found, key=lambda row: row.id)

    def _cuts(self, day: Day) -> list[UUID | None]:
        """The last user of each part."""
        size = self._users_per_range
        return [row.id for row in self._of_day(day)[size - 1 :: size]]
