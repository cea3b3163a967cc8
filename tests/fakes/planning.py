"""The fake of the port `Planning`: the rules, the announced instant, the open ranges, and the planned messages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from service.adapters.postgres.planning import LATE_LIMIT, REPLANNED_BEFORE, USERS_PER_RANGE
from service.domain.dates import is_first_year
from service.domain.messages import OPEN, Status
from service.domain.occasions import understand
from service.domain.planning import (
    CalendarDefaults,
    OccasionDay,
    PlanningRules,
    PlanRange,
    days_to_replan,
    instants,
)
from service.domain.rules import RulesState
from service.ports import Planned, RowRefused
from tests.fakes.rows import MessageRow, Nowhere, UserRow, check
from tests.fakes.truth import REPLANNING_HOLDS, Truth

JOB_RUNS_KEPT = timedelta(days=30)

_MOVABLE = OPEN | {Status.CANCELLED, Status.EXPIRED}


class FakePlanning:
    """Implements `service.ports.Planning`. A small `users_per_range` makes many ranges of few users."""

    def __init__(
        self,
        truth: Truth,
        *,
        defaults: CalendarDefaults | None = None,
        late_limit: timedelta = LATE_LIMIT,
        users_per_range: int = USERS_PER_RANGE,
    ) -> None:
        self._truth = truth
        self._defaults = defaults or CalendarDefaults()
        self._late_limit = late_limit
        self._users_per_range = users_per_range

    async def rules(self) -> PlanningRules:
        return self._rules(self._truth.defaults or self._defaults)

    def _rules(self, defaults: CalendarDefaults) -> PlanningRules:
        truth = self._truth
        occasions, problems = understand(row.stored for _, row in sorted(truth.occasions.items()))
        written = truth.defaults is not None
        version = truth.rules_version
        return PlanningRules(defaults.send_at, defaults.leap_day, occasions, version, problems, written=written)

    async def rules_state(self) -> RulesState:
        truth = self._truth
        return RulesState(
            truth.rules_version,
            truth.replanned_version,
            truth.defaults,
            truth.rules_written_by,
            frozenset(truth.replaced_rules),
            supported=any(self._living_with_defaults()),
            agreed=all(self._living_with_defaults()),
        )

    def _living_with_defaults(self) -> list[bool]:
        """For each living node, True if its defaults are those of the row."""
        row = self._truth.defaults
        present = (None, None) if row is None else (row.send_at, row.leap_day)
        living = (node for node in self._truth.nodes.values() if not node.ended)
        return [row is not None and (node.send_at, node.leap_day) == present for node in living]

    async def change_rules(
        self, version: int, defaults: CalendarDefaults | None, *, incarnation: int
    ) -> list[int] | None:
        truth, now = self._truth, self._truth.now()
        starts_at = min(now - self._late_limit, truth.planned_until - REPLANNED_BEFORE)
        changed = {
            code: row.replan_offsets
            for code, row in truth.occasions.items()
            if defaults is not None or row.rules_version > truth.replanned_version
        }
        days = days_to_replan(changed, starts_at, truth.planned_until)
        truth.years |= {day.local_year for day in days}
        if truth.rules_version != version:
            return None
        if defaults is not None:
            truth.rules_version += 1
            if truth.defaults is not None:
                replaced = [*truth.replaced_rules, str(truth.defaults)]
                truth.replaced_rules = [one for one in replaced if one != str(defaults)]
                truth.defaults_were_replaced = True
            truth.defaults, truth.rules_written_by, truth.rules_written_at = defaults, incarnation, now
        truth.replanned_version, truth.replanned_at = truth.rules_version, now
        if not truth.messages and not any(job == "daily" for job, _ in truth.job_runs):
            return []
        truth.plan_ranges = {
            number: (window, at)
            for number, (window, at) in truth.plan_ranges.items()
            if not window.replans or window.day.occasion not in changed
        }
        beyond = self._days_beyond(changed) - set(days)
        in_order = sorted(beyond, key=lambda day: (day.local_year, day.month_day, day.occasion))
        return self._add_ranges([*days, *in_order], starts_at, truth.planned_until, replans=True)

    def _days_beyond(self, codes: Collection[str]) -> set[OccasionDay]:
        """The days of unsent messages beyond the announced instant."""
        truth, found = self._truth, set()
        for row in truth.in_state(Status.SCHEDULED, Status.RETRYING):
            date = truth.users[row.user_id].profile.dates.get(row.occasion)
            if row.due_at >= truth.planned_until and row.occasion in codes and date is not None:
                found.add(OccasionDay(row.occasion, row.local_year, date.month * 100 + date.day))
        return found

    async def settle_rules(self, version: int) -> None:
        if self._truth.rules_version == version and all(self._living_with_defaults()):
            self._truth.replaced_rules = []

    async def planned(self) -> Planned:
        truth = self._truth
        starts = (planned.starts_at for planned, _ in truth.plan_ranges.values())
        return Planned(truth.now(), truth.planned_until, min(starts, default=truth.planned_until))

    async def announce(
        self, job: str, scheduled_at: datetime, *, incarnation: int, up_to: datetime, days: Sequence[OccasionDay]
    ) -> list[int] | None:
        truth, now = self._truth, self._truth.now()
        truth.years |= {day.local_year for day in days} | {up_to.year + 1}
        check("job_runs_job_check", holds=job in {"daily", "minute", "recovery"})
        if (job, scheduled_at) in truth.job_runs:
            return None
        truth.job_runs[job, scheduled_at] = (incarnation, now)
        truth.job_runs = {key: run for key, run in truth.job_runs.items() if run[1] >= now - JOB_RUNS_KEPT}
        if truth.planned_until >= up_to:
            return []
        made = self._add_ranges(days, truth.planned_until, up_to, replans=False)
        truth.planned_until = up_to
        return made

    async def open_ranges(self, *, older_than: float, limit: int | None, after: int = 0) -> list[int]:
        before = self._truth.real_now() - timedelta(seconds=older_than)
        open_ranges = sorted(self._truth.plan_ranges.items())
        return [number for number, (_, at) in open_ranges if at < before and number > after][:limit]

    async def plan(self, range_id: int, rules: PlanningRules, *, tzdata: str) -> int | None:
        try:
            with self._truth.transaction():
                return self._plan(range_id, rules, tzdata=tzdata)
        except RowRefused as refused:
            second = self._split(range_id)
            if second is None:
                self._postpone(range_id, refused.reason)
                return 0
        return sum([await self.plan(half, rules, tzdata=tzdata) or 0 for half in (range_id, second)])

    def _split(self, range_id: int) -> int | None:
        """Cut a range in two at the middle of its users, and return the second half; None if it has one user."""
        window, at = self._truth.plan_ranges[range_id]
        users = self._of_range(window)
        if len(users) < 2:
            return None
        middle = users[len(users) // 2 - 1].id
        self._truth.plan_ranges[range_id] = (replace(window, until_user=middle), at)
        return self._truth.add_range(replace(window, after_user=middle))

    def _postpone(self, range_id: int, reason: str) -> None:
        window, at = self._truth.plan_ranges[range_id]
        self._truth.plan_ranges[range_id] = (window, min(at, self._truth.real_now() - REPLANNING_HOLDS))
        for user in self._of_range(window):
            self._truth.put_aside(user.id, "plan_range", reason)

    def _of_range(self, window: PlanRange) -> list[UserRow]:
        """The users of a range, deleted ones too, in the order of their ids."""
        after, until = window.after_user, window.until_user
        return [
            user
            for user in self._of_day(window.day)
            if (after is None or user.id > after) and (until is None or user.id <= until)
        ]

    def _plan(self, range_id: int, rules: PlanningRules, *, tzdata: str) -> int | None:
        truth = self._truth
        if range_id not in truth.plan_ranges:
            return None
        window, _ = truth.plan_ranges[range_id]
        if window.day.occasion not in rules.understood:
            return None
        truth.require_rules({rules.version})
        zones = dict(instants(rules, window))
        del truth.plan_ranges[range_id]
        day, made = window.day, 0
        for user in self._of_range(window):
            if user.deleted_at is not None or is_first_year(user.profile.dates[day.occasion], day.local_year):
                continue
            at = zones.get(user.profile.timezone)
            since = truth.exists_since(user, day.occasion)
            row = truth.find(user.id, day.occasion, day.local_year)
            if window.replans and row is not None:
                made += self._move(user, row, at, tzdata)
            elif at is not None and since < at and window.starts_at <= at < window.ends_at:
                if row is not None:
                    made += self._revive(user, row, at, tzdata)
                    continue
                due_at = max(at, truth.now()) if window.replans else at
                made += truth.insert_message(user, day.occasion, day.local_year, at, due_at=due_at, tzdata=tzdata)
        return made

    def _revive(self, user: UserRow, row: MessageRow, at: datetime, tzdata: str) -> bool:
        """Schedule a message again that the rules had cancelled before it was handed out. True if its row changed."""
        if row.status is not Status.CANCELLED or row.queued_at is not None:
            return False
        self._truth.move(
            row,
            status=Status.SCHEDULED,
            timezone=user.profile.timezone,
            send_at=at,
            due_at=max(at, self._truth.now()),
            ended_at=None,
            status_reason="planned again",
            tzdata=tzdata,
        )
        return True

    def _move(self, user: UserRow, row: MessageRow, at: datetime | None, tzdata: str) -> bool:
        """Move a message to the instant by new rules, as an edit of its user would. True if its row changed."""
        truth, now = self._truth, self._truth.now()
        is_active = truth.is_active(row.occasion)
        if (row.redriven_at is not None and is_active) or row.status not in _MOVABLE:
            return False
        status: Status | None = Status.SCHEDULED
        if row.send_at == at and row.status is not Status.CANCELLED:
            status = None
        elif at is None:
            status = Status.CANCELLED if row.ended_at is None else None
        elif (at <= now and truth.exists_since(user, row.occasion) >= at) or (
            at <= now and row.ended_at is not None and at < now - self._late_limit
        ):
            status = None
        if row.status is Status.SENDING:
            nowhere = Nowhere.NOWHERE if status is Status.CANCELLED else None
            truth.move(row, reschedule_to=at if status is Status.SCHEDULED else nowhere)
            return False
        if status is None:
            return False
        send_at = at or row.send_at
        cancelled = status is Status.CANCELLED
        truth.move(
            row,
            status=status,
            timezone=user.profile.timezone,
            send_at=send_at,
            due_at=max(send_at, now),
            ended_at=now if cancelled else None,
            status_reason="moved: the rules have changed"
            if not cancelled
            else "the rules have changed: the day has no instant this year"
            if is_active
            else "the occasion is not active",
            tzdata=tzdata,
        )
        return True

    def _add_ranges(
        self, days: Sequence[OccasionDay], starts_at: datetime, ends_at: datetime, *, replans: bool
    ) -> list[int]:
        made = []
        for day in days:
            if day.occasion not in self._truth.occasions:
                continue
            cuts = self._cuts(day)
            for after, until in zip([None, *cuts], [*cuts, None], strict=True):
                made.append(self._truth.add_range(PlanRange(day, after, until, starts_at, ends_at, replans)))
        return made

    def _of_day(self, day: OccasionDay) -> list[UserRow]:
        """The users with that day, in the order of their ids, including deleted ones."""
        dates = ((row, row.profile.dates.get(day.occasion)) for row in self._truth.users.values())
        found = (row for row, date in dates if date is not None and date.month * 100 + date.day == day.month_day)
        return sorted(found, key=lambda row: row.id)

    def _cuts(self, day: OccasionDay) -> list[UUID | None]:
        """The last user of each part."""
        size = self._users_per_range
        return [row.id for row in self._of_day(day)[size - 1 :: size]]
