"""Planning as nodes do it, with the calendar rules, on a business clock that a test has set."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import asyncpg

from service.domain.calendar import LeapDay, occurrence
from service.domain.occasions import OccasionRow
from service.domain.planning import DesiredMessage, PlanningRules, days, desired_messages
from service.domain.users import Profile
from tests.conftest import Clock
from tests.service.adapters.postgres.conftest import Store, profile

RULES = PlanningRules(time(9), LeapDay.FEB28, (OccasionRow("birthday", "", None, None),))


def utc(text: str) -> datetime:
    """An instant, written as in ISO 8601 without its zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def begin_at(store: Store, clock: Clock, at: datetime) -> None:
    """Set the clock to `at`, with planning complete up to it."""
    await clock.set(at)
    await store.fetch("select ensure_year($1)", at.year)
    await store.fetch("update planning set planned_until = $1", at)


def rules_for(who: Profile, now: datetime) -> list[DesiredMessage]:
    """Return the messages that a user's days lead to around now."""
    return desired_messages(RULES, dict(who.dates), who.timezone, now=now)


async def create(store: Store, birthday: str, timezone: str = "UTC") -> None:
    """Create a user as the API does."""
    who = profile(date.fromisoformat(birthday), timezone)
    await store.users.create(who, rules_for(who, await store.database.value("select business_now()")))


async def announce(store: Store, up_to: datetime) -> list[int]:
    """Announce up to that instant, and return the ids of the ranges."""
    planned = await store.planning.planned()
    found = await store.planning.announce(
        "daily", up_to, incarnation=1, up_to=up_to, days=days(RULES, planned.announced, up_to)
    )
    assert found is not None
    return found


async def plan(store: Store, range_id: int) -> int | None:
    """Plan one range. Return the number of new messages, None if the range was already planned."""
    return await store.planning.plan(range_id, RULES, tzdata="test")


async def plan_all(store: Store) -> int:
    """Plan all open ranges, and return the number of new messages."""
    open_ranges = await store.planning.open_ranges(older_than=0, limit=100_000)
    return sum([await plan(store, range_id) or 0 for range_id in open_ranges])


async def messages(store: Store) -> list[asyncpg.Record]:
    """Return every message with its user, oldest first."""
    return await store.fetch("select m.*, u.email from messages m join users u on u.id = m.user_id order by m.send_at")


def expected(day: date, timezone: str, year: int) -> datetime | None:
    """Return the instant of the greeting in that year, by the calendar."""
    return occurrence(day, timezone, year).send_at
