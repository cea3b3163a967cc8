"""PostgreSQL and its fake side by side: what is asked of one is asked of the other, and they have to say the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TypeVar
from uuid import UUID

import asyncpg

from service.adapters.postgres.connection import Database
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.users import PostgresUsers
from service.adapters.postgres.zone_data import PostgresZoneData
from service.domain.calendar import LeapDay
from service.planning import Rules
from service.ports import EmailTaken, Messages, Nodes, Planning, Replaced, UserChanged, Users, ZoneData
from tests.contracts.tables import differences, of_fake, of_postgres
from tests.fakes.messages import FakeMessages
from tests.fakes.nodes import FakeNodes
from tests.fakes.planning import FakePlanning
from tests.fakes.rows import Violation
from tests.fakes.truth import OCCASIONS, Truth
from tests.fakes.users import FakeUsers
from tests.fakes.zone_data import FakeZoneData

T = TypeVar("T")

LATE_LIMIT = timedelta(hours=48)

RULES = Rules(time(9), LeapDay.FEB28, OCCASIONS)

USERS_PER_RANGE = 3
"""Few, so that a small crowd has several ranges."""

RELEASES = ("2026a", "2026b", "2027a")
"""Of the zone data: each node has one."""

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
update planning set up_to = '{at}';
select ensure_year(extract(year from timestamptz '{at}')::integer + years) from generate_series(-1, 1) as years;
"""
"""A clock that stands still while business time counts so many times as fast, and ids that are the same in all runs."""


@dataclass(frozen=True)
class Release:
    """The ports of a node with one release of the zone data."""

    messages: Messages
    planning: Planning
    nodes: Nodes
    users: Users
    zone_data: ZoneData


class Mirror(Truth):
    """The rows of the fake, whose users have the ids that PostgreSQL gave to its own."""

    def __init__(self, *, now: Callable[[], datetime], rate: float) -> None:
        super().__init__(now=now, real_now=lambda: datetime.now(UTC), rate=lambda: rate)
        self.given: deque[UUID] = deque()

    def new_user_id(self) -> UUID:
        return self.given.popleft()

    def rename(self, ids: dict[tuple[UUID, str, int], UUID]) -> None:
        """Give each message the id that PostgreSQL gave to the one of the same user, occasion and local year."""
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
        """What was done so far."""

    async def open(self) -> None:
        """Let the clock of the database stand still."""
        async with self._database.connection() as connection:
            await connection.execute(_CLOCK.format(at=self.at.isoformat(), rate=self._rate))

    async def set_clock(self, at: datetime) -> None:
        """Set both clocks."""
        self.steps.append(f"the clock shows {at}")
        await self._database.fetch("update test_clock set at = $1", at)
        self.at = at

    async def ask(
        self,
        what: str,
        call: Callable[[Release], Awaitable[T]],
        *,
        release: str = RELEASES[0],
        users: Callable[[T], Sequence[UUID]] = lambda _answer: (),
        comparable: Callable[[T], object] = lambda answer: answer,
    ) -> T | None:
        """Ask both and return what they say, None for a refusal.

        `users` finds in the answer the ids of users that were made, `comparable` leaves out what may differ, such as
        the order of what has none. Raises Different.
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


async def _answer(asked: Awaitable[T]) -> tuple[T | None, str | None]:
    """The answer, or what kind of refusal came instead."""
    try:
        return await asked, None
    except (EmailTaken, UserChanged, Replaced) as refusal:
        return None, repr(refusal)
    except asyncpg.CheckViolationError as violation:
        return None, f"violates {violation.constraint_name}"
    except Violation as violation:
        return None, f"violates {violation}"


def _real(database: Database, release: str) -> Release:
    return Release(
        PostgresMessages(database),
        PostgresPlanning(database),
        PostgresNodes(database, tzdata=release),
        PostgresUsers(database, late_limit=LATE_LIMIT, tzdata=release),
        PostgresZoneData(database, release=release),
    )


def _fake(truth: Truth, release: str) -> Release:
    return Release(
        FakeMessages(truth),
        FakePlanning(truth, users_per_range=USERS_PER_RANGE),
        FakeNodes(truth, tzdata=release),
        FakeUsers(truth, late_limit=LATE_LIMIT, tzdata=release),
        FakeZoneData(truth, release=release),
    )
