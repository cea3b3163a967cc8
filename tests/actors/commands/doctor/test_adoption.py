"""Adoption plans missing messages and holds them, and ends although some ranges cannot be planned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.commands.doctor.adoption import Adoption
from service.adapters.redis.connection import connect
from service.settings import read
from tests.service.adapters.postgres.conftest import Store

DEADLINE = 60.0
"""Seconds for what takes less than one, and took for ever."""


@pytest.fixture
async def adoption(store: Store, redis_url: str) -> AsyncIterator[Adoption]:
    """The adoption of the test's database."""
    environment = {
        "HEYDAY_DATABASE_URL": store.dsn,
        "HEYDAY_REDIS_URL": redis_url,
        "HEYDAY_EMAIL_URL": "http://localhost",
    }
    redis = connect(redis_url)
    yield Adoption(read(environment), store.database, redis)
    await redis.close()


async def test_an_adoption_ends_although_a_range_stays_open(store: Store, adoption: Adoption) -> None:
    """The days of an occasion that is not understood wait for its repair. The others are planned once."""
    await store.fetch("alter table occasions disable trigger occasions_checked")
    await store.fetch("insert into occasions (code, template, send_at) values ('eve', 'Hi {first_name}', '24:00')")
    await store.fetch("alter table occasions enable trigger occasions_checked")
    await store.fetch(
        "insert into users (first_name, last_name, email, email_key, timezone, created_at)"
        " values ('Ada', 'Smith', 'a@example.com', 'a@example.com', 'UTC', business_now() - interval '9 days')"
    )
    await store.fetch(
        "insert into occasion_dates (user_id, occasion, date)"
        " select id, code, (business_now() + interval '1 day')::date - interval '30 years' from users, occasions"
        " where code in ('eve', 'birthday')"
    )
    (now,) = await store.fetch("select business_now() as now")

    async with asyncio.timeout(DEADLINE):
        await adoption.settle(now["now"], hold=True)

    open_ranges = await store.fetch("select distinct occasion from plan_ranges")
    assert [row["occasion"] for row in open_ranges] == ["eve"]
    assert [row["occasion"] for row in await store.fetch("select occasion from messages")] == ["birthday"]
