"""Accepted messages are remembered by day, for as long as an attempt may be repeated, and no longer."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import uuid4

import pytest

from service.adapters.redis.accepted import RedisAcceptedKeys
from service.adapters.redis.connection import RedisClients
from service.ports import AcceptedKeys
from tests.adapters.redis.stores import Store

SUNDAY, MONDAY = date(2027, 3, 14), date(2027, 3, 15)


@pytest.fixture
def keys(store: Store) -> AcceptedKeys:
    """The keys of a heyday with the late limit of 48 hours."""
    return store.accepted()


async def test_only_remembered_messages_are_accepted(keys: AcceptedKeys) -> None:
    """A false yes would lose a greeting."""
    old, new = uuid4(), uuid4()
    await keys.remember([(old, SUNDAY)])

    assert await keys.accepted([(new, SUNDAY), (old, SUNDAY)]) == {old}


async def test_messages_of_several_days_are_told_apart(keys: AcceptedKeys) -> None:
    """A batch around midnight has two days; the answers must not get mixed up."""
    batch = [(uuid4(), day) for day in (MONDAY, SUNDAY, MONDAY, SUNDAY)]
    known = [batch[0], batch[3]]
    await keys.remember(known)

    assert await keys.accepted(batch) == {message for message, _ in known}
    assert await keys.accepted([(batch[0][0], SUNDAY)]) == set()


async def test_nothing_asked_nothing_answered(keys: AcceptedKeys) -> None:
    """An empty batch must not become a command without arguments."""
    await keys.remember([])

    assert await keys.accepted([]) == set()


async def test_what_was_remembered_may_be_forgotten(store: Store, keys: AcceptedKeys) -> None:
    """Anybody may empty Redis; the rows decide then."""
    message = uuid4()
    await keys.remember([(message, SUNDAY)])

    await store.flush()

    assert await keys.accepted([(message, SUNDAY)]) == set()


async def test_a_person_can_list_a_day(clients: RedisClients) -> None:
    """`SMEMBERS heyday:dedupe:2027-03-14` shows message ids as text."""
    keys = RedisAcceptedKeys(clients.commands, late_limit=timedelta(hours=48))
    message = uuid4()
    await keys.remember([(message, SUNDAY)])

    assert await clients.commands.smembers("heyday:dedupe:2027-03-14") == {str(message)}


async def test_a_day_is_kept_for_72_hours_beyond_the_late_limit(clients: RedisClients) -> None:
    """Kept for ever it fills the memory; kept too briefly a repeated attempt is sent again."""
    keys = RedisAcceptedKeys(clients.commands, late_limit=timedelta(hours=48))
    await keys.remember([(uuid4(), SUNDAY)])

    ttl = await clients.commands.ttl("heyday:dedupe:2027-03-14")
    assert timedelta(hours=119, minutes=59) < timedelta(seconds=ttl) <= timedelta(hours=120)
