"""Runs PostgreSQL and its fake side by side: every call goes to both, and the answers must be equal."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TypeVar
from uuid import UUID

import asyncpg

from service.adapters.postgres.audit import PostgresAuditLog
from service.adapters.postgres.connection import Database
from service.adapters.postgres.holds import PostgresHolds
from service.adapters.postgres.limits import PostgresLimits
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.postgres.occasions import PostgresOccasions
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.suppressions import PostgresSuppressions
from service.adapters.postgres.users import PostgresUsers
from service.adapters.postgres.zone_data import PostgresZoneData
from service.domain.calendar import LeapDay
from service.domain.occasions import understand
from service.domain.planning import PlanningRules
from service.domain.suppressions import only_to
from service.ports import (
    AuditLog,
    EmailTaken,
    ExternalIdTaken,
    HoldRefused,
    Holds,
    Limits,
    Messages,
    Nodes,
    OccasionChanged,
    OccasionInUse,
    Occasions,
    Planning,
    RowRefused,
    RulesChanged,
    StaleFencingToken,
    Suppressions,
    UserChanged,
    Users,
    ZoneData,
)
from tests.contracts.tables import differences, of_fake, of_postgres
from tests.fakes.audit import FakeAuditLog
from tests.fakes.holds import FakeHolds
from tests.fakes.limits import FakeLimits
from tests.fakes.messages import FakeMessages
from tests.fakes.nodes import FakeNodes
from tests.fakes.occasions import FakeOccasions
from tests.fakes.planning import FakePlanning
from tests.fakes.rows import OccasionRecord, Violation
from tests.fakes.suppressions import FakeSuppressions
from tests.fakes.truth import OCCASIONS, Truth
from tests.fakes.users import FakeUsers
from tests.fakes.zone_data import FakeZoneData

T = TypeVar("T")

LATE_LIMIT = timedelta(hours=48)

RULES = PlanningRules(time(9), LeapDay.FEB28, understand(OccasionRecord(occasion=one).stored for one in OCCASIONS)[0])

USERS_PER_RANGE = 3
"""Small, so that a few users make several ranges."""

RELEASES = ("2026a", "2026b", "2027a")
"""Releases of the time zone data; each node has one."""

ONLY_TO = only_to("@example.org, " + ", ".join(f"Ada{number}@example.com" for number in range(10)))
"""`HEYDAY_ONLY_TO` of the nodes with the latest release."""

_CLOCK = """
create table test_clock (at timestamptz not null);
insert into test_clock values ('{at}');
create or replace function business_now() returns timestamptz language sql stable parallel safe
    as $$ select at from public.test_clock $$;
create sequence test_ids;
create or replace function uuid_v7() returns uuid language sql volatile parallel unsafe
    as $$ select lpad(to_hex(nextval('public.test_ids')), 32, '0')::uuid $$;
create or replace function business_rate() returns double precision language sql stable parallel safe
    as $$ select {rate}::double precision $$;
update planning set planned_until = '{at}';
select ensure_year(extract(year from timestamptz '{at}')::integer + years) from generate_series(-1, 1) as years;
create table test_damaged (id uuid primary key);
create function test_refuse_damaged() returns trigger language plpgsql as $$
begin
    if exists (select from public.test_damaged d where d.id = old.id) then
        raise exception 'the row of message % is damaged', old.id;
    end if;
    return new;
end $$;
create trigger test_damage before update on messages for each row execute function test_refuse_damaged();
"""
"""Replaces the clock by one that stands still, with a given rate, makes ids repeatable, and lets rows be damaged."""


@dataclass(frozen=True)
class Release:
    """The ports of a node with one release of the time zone data."""

    messages: Messages
    planning: Planning
    nodes: Nodes
    users: Users
    zone_data: ZoneData
    audit: AuditLog
    holds: Holds
    occasions: Occasions
    suppressions: Suppressions
    limits: Limits


class Mirror(Truth):
    """The rows of the fake, whose users, holds and suppressions have PostgreSQL's ids."""

    def __init__(self, *, now: Callable[[], datetime], rate: float) -> None:
        super().__init__(now=now, real_now=lambda: datetime.now(UTC), rate=lambda: rate)
        self.given: deque[UUID] = deque()

    def new_user_id(self) -> UUID:
        return self.given.popleft()

    def new_hold_id(self) -> UUID:
        return self.given.popleft()

    def new_suppression_id(self) -> UUID:
        return self.given.popleft()

    def rename(self, ids: dict[tuple[UUID, str, int], UUID]) -> None:
        """Give each message PostgreSQL's id for the same user, occasion and local year."""
        renamed = {}
        for row in self.messages.values():
            name = ids.get((row.user_id, row.occasion, row.local_year), row.id)
            renamed[name] = row if row.id == name else replace(row, id=name)
        self.messages = renamed


class Different(AssertionError):
    """The fake and PostgreSQL do not agree."""


class Sides:
    """Both sides, and the clock of both."""

    def __init__(self, database: Database, *, at: datetime, rate: float) -> None:
        self._database = database
        self.at = at
        self.truth = Mirror(now=lambda: self.at, rate=rate)
        self._rate = rate
        self.real = {release: _real(database, release) for release in RELEASES}
        self.fake = {release: _fake(self.truth, release) for release in RELEASES}
        self.steps: list[str] = []
        """The steps so far."""

    async def open(self) -> None:
        """Stop the clock of the database."""
        async with self._database.connection() as connection:
            await connection.execute(_CLOCK.format(at=self.at.isoformat(), rate=self._rate))

    async def set_clock(self, at: datetime) -> None:
        """Set both clocks."""
        self.steps.append(f"the clock shows {at}")
        await self._database.fetch("update test_clock set at = $1", at)
        self.at = at

    async def damage(self, ids: Collection[UUID]) -> None:
        """Let no statement change these messages, and every other one again."""
        self.steps.append(f"{ids} are damaged")
        await self._database.fetch("delete from test_damaged")
        await self._database.fetch("insert into test_damaged select unnest($1::uuid[])", list(ids))
        self.truth.damaged = set(ids)

    async def ask(
        self,
        what: str,
        call: Callable[[Release], Awaitable[T]],
        *,
        release: str = RELEASES[0],
        users: Callable[[T], Sequence[UUID]] = lambda _answer: (),
        comparable: Callable[[T], object] = lambda answer: answer,
    ) -> T | None:
        """Call both and return their answer, None for a refusal.

        `users` finds the ids of new users, holds or suppressions in the answer. `comparable` removes what may differ,
        such as an undefined order. Raises Different.
        """
        self.steps.append(what)
        before = dict(self.truth.messages)
        answer, refused = await _answer(call(self.real[release]))
        if answer is not None:
            self.truth.given.extend(users(answer))
        theirs, theirs_refused = await _answer(call(self.fake[release]))
        if refused != theirs_refused:
            raise Different(f"PostgreSQL said {refused or answer}, the fake {theirs_refused or theirs}")
        if answer is not None and theirs is not None and comparable(answer) != comparable(theirs):
            raise Different(f"PostgreSQL said {comparable(answer)}, the fake {comparable(theirs)}")
        if (answer is None) != (theirs is None) or self.truth.given:
            raise Different(f"PostgreSQL said {answer}, the fake {theirs}")
        tables = await of_postgres(self._database)
        if len(before) != len(self.truth.messages):
            self.truth.rename(
                {(row["user_id"], row["occasion"], row["local_year"]): row["id"] for row in tables["messages"].values()}
            )
        if found := differences(tables, of_fake(self.truth)):
            raise Different("\n  ".join(["their rows differ:", *found]))
        return answer


REFUSALS = (
    EmailTaken,
    ExternalIdTaken,
    HoldRefused,
    OccasionChanged,
    OccasionInUse,
    RowRefused,
    RulesChanged,
    UserChanged,
    StaleFencingToken,
)


async def _answer(asked: Awaitable[T]) -> tuple[T | None, str | None]:
    """Return the answer, or the kind of refusal."""
    try:
        return await asked, None
    except REFUSALS as refusal:
        return None, type(refusal).__name__ if isinstance(refusal, RowRefused) else repr(refusal)
    except asyncpg.CheckViolationError as violation:
        return None, f"violates {violation.constraint_name}"
    except Violation as violation:
        return None, f"violates {violation}"


def _real(database: Database, release: str) -> Release:
    return Release(
        PostgresMessages(database, only_to=ONLY_TO if release == RELEASES[-1] else None),
        PostgresPlanning(database),
        PostgresNodes(database, tzdata=release),
        PostgresUsers(database, late_limit=LATE_LIMIT, tzdata=release),
        PostgresZoneData(database, release=release),
        PostgresAuditLog(database),
        PostgresHolds(database),
        PostgresOccasions(database),
        PostgresSuppressions(database),
        PostgresLimits(database),
    )


def _fake(truth: Truth, release: str) -> Release:
    return Release(
        FakeMessages(truth, only_to=ONLY_TO if release == RELEASES[-1] else None),
        FakePlanning(truth, users_per_range=USERS_PER_RANGE),
        FakeNodes(truth, tzdata=release),
        FakeUsers(truth, late_limit=LATE_LIMIT, tzdata=release),
        FakeZoneData(truth, release=release),
        FakeAuditLog(truth),
        FakeHolds(truth),
        FakeOccasions(truth),
        FakeSuppressions(truth),
        FakeLimits(truth),
    )
