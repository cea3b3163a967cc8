"""Users created at the same time share statements, and do not affect each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from service.adapters.postgres.connection import Database
from service.adapters.postgres.idempotency import PostgresIdempotency
from service.adapters.postgres.users import MOST_AT_ONCE, PostgresUsers
from service.domain.planning import DesiredMessage
from service.domain.users import Profile
from service.ports import EmailTaken, Keep, KeptResponse, Reserved


@pytest.fixture
async def statements(database: str) -> list[str]:
    """The names of the executed statements."""
    return []


@pytest.fixture
async def pool(database: str, statements: list[str]) -> AsyncIterator[Database]:
    pool = Database(database, size=6, observe=lambda query, _seconds: statements.append(query))
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
def users(pool: Database) -> PostgresUsers:
    return PostgresUsers(pool, late_limit=timedelta(hours=48), tzdata="test")


def ada(number: int) -> Profile:
    return Profile("Ada", f"No {number}", f"{number}@example.com", "UTC", {})


async def test_users_made_at_the_same_time_share_statements(users: PostgresUsers, statements: list[str]) -> None:
    """A round trip and a commit for each would be most of the cost of a request."""
    made = await asyncio.gather(*(users.create(ada(number), []) for number in range(200)))

    assert [user.profile.last_name for user in made] == [f"No {number}" for number in range(200)]
    assert len({user.id for user in made}) == 200
    assert statements.count("create_users") <= 2 + -(-198 // MOST_AT_ONCE) + 2

    found = await asyncio.gather(*(users.get(user.id) for user in made))

    assert found == made
    assert statements.count("get_users") <= 8


async def test_of_those_with_one_address_at_the_same_time_one_is_made(users: PostgresUsers) -> None:
    """This holds within one statement and across statements."""
    outcomes = await asyncio.gather(
        *(users.create(ada(number % 5), []) for number in range(100)), return_exceptions=True
    )

    assert sum(isinstance(outcome, EmailTaken) for outcome in outcomes) == 95


async def test_statements_with_the_same_addresses_in_other_orders_do_not_deadlock(
    users: PostgresUsers,
) -> None:
    """Two imports of one file in different orders must not deadlock."""
    for round_ in range(5):
        rows: list[tuple[Profile, list[DesiredMessage]]] = [(ada(1_000 * round_ + number), []) for number in range(300)]

        one, other = await asyncio.gather(users.create_many(rows), users.create_many(rows[::-1]))

        assert all((here is None) != (there is None) for here, there in zip(one, other[::-1], strict=True))


async def test_keys_reserved_at_the_same_time_are_reserved_once_each(pool: Database, statements: list[str]) -> None:
    """Concurrent requests with one key see its first use, as later ones do."""
    idempotency = PostgresIdempotency(pool)

    outcomes = await asyncio.gather(
        *(idempotency.reserve(bytes([number % 3]), bytes([number % 2])) for number in range(60))
    )
    reserved = [outcome for outcome in outcomes if isinstance(outcome, Reserved)]
    await asyncio.gather(*(idempotency.keep(Keep(one, 201, {}, one.key)) for one in reserved))
    again = await asyncio.gather(*(idempotency.reserve(bytes([key]), b"other") for key in range(3)))

    assert sorted(one.key for one in reserved) == [b"\0", b"\1", b"\2"]
    assert all(outcome is None or isinstance(outcome, KeptResponse | Reserved) for outcome in outcomes)
    assert [one.body for one in again if isinstance(one, KeptResponse)] == [b"\0", b"\1", b"\2"]
    assert statements.count("reserve") < 20
