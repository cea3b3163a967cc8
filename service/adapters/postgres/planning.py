"""Planning: the rules, the announced instant, the ranges still to plan, and the messages made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from service.adapters.postgres.connection import Database
from service.adapters.postgres.queries import load
from service.adapters.postgres.set_aside import ROW_FAULTS, SetAsideMessages
from service.domain.calendar import LeapDay
from service.domain.occasions import StoredOccasion, understand
from service.domain.planning import (
    CalendarDefaults,
    OccasionDay,
    PlanningRules,
    PlanRange,
    days_to_replan,
    instants,
)
from service.domain.rules import RulesState
from service.ports import Planned, RulesChanged, SetAside

if TYPE_CHECKING:
    from service.adapters.postgres.connection import Connection

_SQL = load("planning.sql")

USERS_PER_RANGE = 5_000
"""Users of one range. Its transaction takes well under a second, and there are enough ranges for all nodes."""

PLAN_TIMEOUT = 25.0
"""Seconds to plan one range; below the server's own statement time-out."""

REPLANNED_BEFORE = timedelta(days=4)
"""How far before the announced instant is planned again at least: an instant that was beyond it may lie before it now.
A weekend rule moves an instant by three days, a leap-day rule and a missing date by one, a time of day by less. An
offset may move it further: then only what is not later than the late limit is made good."""

LATE_LIMIT = timedelta(hours=48)
"""The default of `HEYDAY_LATE_LIMIT`, for commands that announce and plan nothing again."""


class PostgresPlanning:
    """Implements `service.ports.Planning`."""

    def __init__(
        self,
        database: Database,
        *,
        defaults: CalendarDefaults | None = None,
        late_limit: timedelta = LATE_LIMIT,
        on_set_aside: Callable[[SetAside], None] = lambda _user: None,
    ) -> None:
        self._database = database
        self._aside = SetAsideMessages(database, on_set_aside)
        self._defaults = defaults or CalendarDefaults()
        self._late_limit = late_limit

    async def rules(self) -> PlanningRules:
        rows = await self._database.fetch(_SQL.rules)
        if not rows:
            raise LookupError("the table planning has lost its row")
        first = rows[0]
        written = _defaults(first["send_at"], first["leap_day"])
        defaults = written or self._defaults
        occasions, problems = understand(
            StoredOccasion(
                row["code"],
                row["template"],
                row["own_send_at"],
                row["own_leap_day"],
                row["weekend"],
                row["offset_days"],
                row["active"],
                row["active_since"],
                row["subject"],
                row["template_with_years"],
                row["texts"],
            )
            for row in rows
            if row["code"] is not None
        )
        return PlanningRules(
            defaults.send_at, defaults.leap_day, occasions, first["version"], problems, written=written is not None
        )

    async def rules_state(self) -> RulesState:
        row = await self._database.row(_SQL.rules_state)
        if row is None:
            raise LookupError("the table planning has lost its row")
        return RulesState(
            row["version"],
            row["replanned_version"],
            _defaults(row["send_at"], row["leap_day"]),
            row["written_by"],
            frozenset(row["replaced"]),
            supported=row["supported"],
            agreed=row["agreed"],
        )

    async def change_rules(
        self, version: int, defaults: CalendarDefaults | None, *, incarnation: int
    ) -> list[int] | None:
        planned = await self.planned()
        # By the old rules, all unsent messages are in this window or beyond the announced instant.
        starts_at = min(planned.now - self._late_limit, planned.announced - REPLANNED_BEFORE)
        changed = await self._database.fetch(_SQL.occasions_to_replan, defaults is not None)
        codes = [row["code"] for row in changed]
        days = days_to_replan({row["code"]: row["replan_offsets"] for row in changed}, starts_at, planned.announced)
        for year in sorted({day.local_year for day in days}):
            await self._database.fetch(_SQL.ensure_year, year)
        async with self._database.transaction() as connection:
            parts = [part for day in days for part in await _split(connection, day)]
            await connection.execute(_SQL.rules_lock)
            await connection.execute(_SQL.plan_lock)
            row = await connection.fetchrow(_SQL.rules_row)
            if row is None or row["rules_version"] != version or row["planned_until"] != planned.announced:
                return None
            await connection.execute(
                _SQL.write_rules,
                None if defaults is None else defaults.send_at,
                None if defaults is None else defaults.leap_day,
                incarnation,
                str(defaults),
            )
            if not row["announced"]:
                return []  # nothing was ever planned
            found = await connection.fetch(_SQL.days_beyond, codes, planned.announced)
            beyond = [OccasionDay(day["occasion"], day["local_year"], day["month_day"]) for day in found]
            known = set(days)
            parts += [part for day in beyond if day not in known for part in await _split(connection, day)]
            await connection.execute(_SQL.drop_replans, codes)
            return await _add_ranges(connection, parts, starts_at, planned.announced, replans=True)

    async def settle_rules(self, version: int) -> None:
        await self._database.fetch(_SQL.settle_rules, version)

    async def planned(self) -> Planned:
        row = await self._database.row(_SQL.planned_until)
        if row is None:
            raise LookupError("the table planning has lost its row")
        return Planned(row["now"], row["announced"], row["complete"])

    async def announce(
        self, job: str, scheduled_at: datetime, *, incarnation: int, up_to: datetime, days: Sequence[OccasionDay]
    ) -> list[int] | None:
        # This commits before the announcement. A statement that waits for the announcement would not see a partition
        # that came with it.
        for year in sorted({day.local_year for day in days} | {up_to.year + 1}):
            await self._database.fetch(_SQL.ensure_year, year)
        async with self._database.transaction() as connection:
            if await connection.fetchval(_SQL.job_run, job, scheduled_at, incarnation) is None:
                return None
            await connection.execute(_SQL.forget_job_runs)
            # The cuts need not be exact, but must cover all users. So they are computed before writers have to wait.
            parts = [part for day in days for part in await _split(connection, day)]
            await connection.execute(_SQL.plan_lock)
            before = await connection.fetchval(_SQL.lock_planning)
            if before >= up_to:
                return []
            ranges = await _add_ranges(connection, parts, before, up_to, replans=False)
            await connection.execute(_SQL.announce, up_to)
            return ranges

    async def open_ranges(self, *, older_than: float, limit: int | None, after: int = 0) -> list[int]:
        return [row["id"] for row in await self._database.fetch(_SQL.open_ranges, older_than, limit, after)]

    async def plan(self, range_id: int, rules: PlanningRules, *, tzdata: str) -> int | None:
        try:
            return await self._plan_range(range_id, rules, tzdata)
        except ROW_FAULTS as error:
            second = await self._database.value(_SQL.split_range, range_id)
            if second is None:
                # It is the range of one user. Recovery hands it out again.
                for row in await self._database.fetch(_SQL.postpone_range, range_id):
                    await self._aside.add("plan_range", row["user_id"], error)
                return 0
        return sum([await self.plan(half, rules, tzdata=tzdata) or 0 for half in (range_id, second)])

    async def _plan_range(self, range_id: int, rules: PlanningRules, tzdata: str) -> int | None:
        with self._database.timing(_SQL.plan_range):
            async with self._database.transaction() as connection:
                await connection.execute(_SQL.hold_rules)  # first: see lock_planning
                row = await connection.fetchrow(_SQL.peek_range, range_id)
                if row is None or row["occasion"] not in rules.understood:
                    return None
                if rules.version not in (None, await connection.fetchval(_SQL.rules_version)):
                    raise RulesChanged
                await connection.execute(_SQL.drop_range, range_id)
                day = OccasionDay(row["occasion"], row["local_year"], row["month_day"])
                plan_range = PlanRange(
                    day, row["after_user"], row["until_user"], row["starts_at"], row["ends_at"], row["replans"]
                )
                common = (
                    day.occasion,
                    day.local_year,
                    day.month_day,
                    plan_range.after_user,
                    plan_range.until_user,
                    orjson.dumps(dict(instants(rules, plan_range))).decode(),
                    tzdata,
                )
                if plan_range.replans:
                    window = (plan_range.starts_at, plan_range.ends_at, self._late_limit)
                    return int(await connection.fetchval(_SQL.replan_range, *common, *window, timeout=PLAN_TIMEOUT))
                return int(await connection.fetchval(_SQL.plan_range, *common, timeout=PLAN_TIMEOUT))


def _defaults(send_at: time | None, leap_day: str | None) -> CalendarDefaults | None:
    return None if send_at is None or leap_day is None else CalendarDefaults(send_at, LeapDay(leap_day))


async def _add_ranges(
    connection: Connection,
    parts: Sequence[tuple[OccasionDay, UUID | None, UUID | None]],
    starts_at: datetime,
    ends_at: datetime,
    *,
    replans: bool,
) -> list[int]:
    rows = await connection.fetch(
        _SQL.add_ranges,
        [day.occasion for day, _, _ in parts],
        [day.local_year for day, _, _ in parts],
        [day.month_day for day, _, _ in parts],
        [after for _, after, _ in parts],
        [until for _, _, until in parts],
        starts_at,
        ends_at,
        replans,
    )
    return [row["id"] for row in rows]


async def _split(connection: Connection, day: OccasionDay) -> list[tuple[OccasionDay, UUID | None, UUID | None]]:
    """The parts of a day as (day, after, until); one even if no user has that day yet."""
    cuts: list[UUID | None] = [
        row["user_id"] for row in await connection.fetch(_SQL.split, day.occasion, day.month_day, USERS_PER_RANGE)
    ]
    return list(zip([day] * (len(cuts) + 1), [None, *cuts], [*cuts, None], strict=True))
