"""The work for one page of a preview, and for a forecast, however many occasions there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest

from service import turns
from service.adapters.postgres.preview import PostgresPreviews
from service.domain.planning import OccasionDay, PlanningRules, occurrences
from service.reports import forecast, preview
from service.reports.preview import STATEMENTS_PER_PAGE, Preview, PreviewPage, Scope
from tests.conftest import Clock
from tests.service.adapters.postgres.conftest import LATE_LIMIT, Store
from tests.service.adapters.postgres.planned import begin_at, utc

NOW = utc("2027-03-10T12:00:00")
OCCASIONS = 40


async def set_up(store: Store, clock: Clock, *, users: int) -> PlanningRules:
    """Make occasions with an hour of their own each, and users who have all of them on one day, another one each."""
    await begin_at(store, clock, NOW)
    await store.fetch(
        "insert into occasions (code, template, send_at)"
        " select 'day_' || n, 'Hey', time '06:00' + make_interval(mins => n * 7) from generate_series(1, $1) n",
        OCCASIONS,
    )
    await store.fetch(
        """
        with made as (
            insert into users (first_name, last_name, email, email_key, timezone, created_at)
            select 'Ada', n::text, key, key, 'UTC', $1::timestamptz - interval '1 year'
            from generate_series(1, $2) n, lateral (select n || '@example.com' as key) k
            returning id, last_name::integer as n
        )
        insert into occasion_dates
        select id, 'day_' || occasion, date '1992-03-11' + n from made, generate_series(1, $3) occasion
        """,
        NOW,
        users,
        OCCASIONS,
    )
    return await store.planning.rules()


async def preview_of(store: Store, rules: PlanningRules) -> Preview:
    """Return what previews windows by these rules."""
    previews = PostgresPreviews(store.database, late_limit=LATE_LIMIT)
    return Preview(previews, rules, await store.planning.planned(), late_limit=LATE_LIMIT)


def coming(days: int) -> Scope:
    """The window of these days from now."""
    return Scope(NOW, NOW + timedelta(days=days))


async def test_the_statements_of_a_page_are_bounded(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page with room for more items ends early, and the next ones have the rest, each user once."""
    asked = await preview_of(store, await set_up(store, clock, users=12))
    statements = 0
    fetch = store.database.fetch

    async def counted(*args: object, **options: object) -> object:
        nonlocal statements
        statements += 1
        return await fetch(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(store.database, "fetch", counted)
    found: list[tuple[object, str]] = []
    pages, after = 0, None
    while pages == 0 or after is not None:
        statements = 0
        one = await asked.page(coming(20), after=after, limit=500)
        assert statements <= STATEMENTS_PER_PAGE
        found += ((item.user_id, item.occasion) for item in one.items)
        pages, after = pages + 1, one.more

    assert pages > 2
    assert len(found) == len(set(found)) == 12 * OCCASIONS


async def test_days_without_users_cost_next_to_nothing(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their instants are not computed, in any zone, for a preview or a forecast."""
    rules = await set_up(store, clock, users=0)
    computed: list[OccasionDay] = []

    def seen(rules: PlanningRules, day: OccasionDay, starts_at: datetime, ends_at: datetime) -> object:
        computed.append(day)
        return occurrences(rules, day, starts_at, ends_at)

    for module in (preview, forecast):
        monkeypatch.setattr(module, "occurrences", seen)

    assert await (await preview_of(store, rules)).page(coming(30), after=None, limit=500) == PreviewPage([], None)
    await ask_forecast(store, rules)

    assert computed == []


async def ask_forecast(store: Store, rules: PlanningRules) -> None:
    """Forecast a week."""
    previews = PostgresPreviews(store.database, late_limit=LATE_LIMIT)
    await forecast.forecast(previews, rules, hours=168, late_limit=LATE_LIMIT, rate=None)


async def ask_preview(store: Store, rules: PlanningRules) -> None:
    """Preview the coming days."""
    await (await preview_of(store, rules)).page(coming(3), after=None, limit=500)


@asynccontextmanager
async def another_task() -> AsyncIterator[Callable[[], int]]:
    """Run another task, and count its turns of the loop."""
    count = 0

    async def run() -> None:
        nonlocal count
        while True:
            count += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(run())
    yield lambda: count
    task.cancel()


@pytest.mark.parametrize("ask", [ask_preview, ask_forecast])
async def test_others_have_the_loop_between_two_days(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Store, PlanningRules], Awaitable[None]]
) -> None:
    """The instants of one day in all zones take milliseconds. Those of all days in one piece would delay greetings."""
    rules = await set_up(store, clock, users=7)
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    at: list[int] = []
    async with another_task() as count:

        def seen(rules: PlanningRules, day: OccasionDay, starts_at: datetime, ends_at: datetime) -> object:
            at.append(count())
            return occurrences(rules, day, starts_at, ends_at)

        for module in (preview, forecast):
            monkeypatch.setattr(module, "occurrences", seen)
        await ask(store, rules)

    assert len(at) > 2 * OCCASIONS
    assert len(at) == len(set(at))
