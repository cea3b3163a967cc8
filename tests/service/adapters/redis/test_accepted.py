"""Accepted messages are remembered by day, for as long as an attempt may be repeated."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from service.adapters.redis.accepted import RedisAcceptedKeys
from service.adapters.redis.connection import RedisClients
from service.ports import AcceptedKeys
from tests.service.adapters.redis.stores import Store

SUNDAY, MONDAY = (datetime(2027, 3, day, 9, tzinfo=UTC) for day in (14, 15))


def planned(at: datetime) -> UUID:
    """The id of a message that was planned at that instant: a UUID of version 7."""
    milliseconds = int(at.timestamp() * 1000).to_bytes(6)
    return UUID(bytes=milliseconds + b"\x70\x00\x80" + secrets.token_bytes(7))


@pytest.fixture
def keys(store: Store) -> AcceptedKeys:
    """The accepted keys of a deployment with a late limit of 48 hours."""
    return store.accepted()


async def test_only_remembered_messages_are_accepted(keys: AcceptedKeys) -> None:
    """A false positive would lose a greeting."""
    old, new = planned(SUNDAY), planned(SUNDAY)
    await keys.remember([old])

    assert await keys.accepted([new, old]) == {old}


async def test_messages_of_several_days_are_told_apart(keys: AcceptedKeys) -> None:
    """A batch around midnight has two days, and their answers must not be mixed up."""
    batch = [planned(day) for day in (MONDAY, SUNDAY, MONDAY, SUNDAY)]
    known = [batch[0], batch[3]]
    await keys.remember(known)

    assert await keys.accepted(batch) == set(known)


async def test_an_id_that_no_clock_has_made_is_remembered_too(keys: AcceptedKeys) -> None:
    """A restored or imported row may have any id, and its set still has a name."""
    ids = [UUID(int=0), UUID(int=2**128 - 1)]
    await keys.remember(ids)

    assert await keys.accepted(ids) == set(ids)


async def test_nothing_asked_nothing_answered(keys: AcceptedKeys) -> None:
    """An empty batch must not become a command without arguments."""
    await keys.remember([])

    assert await keys.accepted([]) == set()


async def test_what_was_remembered_may_be_forgotten(store: Store, keys: AcceptedKeys) -> None:
    """Redis may be emptied at any moment. The rows decide then."""
    message = planned(SUNDAY)
    await keys.remember([message])

    await store.flush()

    assert await keys.accepted([message]) == set()


async def test_a_person_can_list_a_day(clients: RedisClients) -> None:
    """`SMEMBERS heyday:dedupe:2027-03-14` shows message ids as text."""
    keys = RedisAcceptedKeys(clients.commands, late_limit=timedelta(hours=48))
    message = planned(SUNDAY)
    await keys.remember([message])

    assert await clients.commands.smembers("heyday:dedupe:2027-03-14") == {str(message)}


async def test_a_day_is_kept_for_72_hours_beyond_the_late_limit(clients: RedisClients) -> None:
    """Kept longer, it fills the memory. Kept for less, a repeated attempt is sent again."""
    keys = RedisAcceptedKeys(clients.commands, late_limit=timedelta(hours=48))
    await keys.remember([planned(SUNDAY)])

    ttl = await clients.commands.ttl("heyday:dedupe:2027-03-14")
    assert timedelta(hours=119, minutes=59) < timedelta(seconds=ttl) <= timedelta(hours=120)
