"""Compares the fakes of PostgreSQL's ports with PostgreSQL: equal rows and answers for equal calls."""

from __future__ import annotations

from random import Random

import pytest

from service.adapters.postgres import planning
from service.adapters.postgres.connection import Database
from tests.contracts.driver import BEGINS, Driver
from tests.contracts.sides import USERS_PER_RANGE, Different, Sides

STEPS = 120
"""Steps per seed."""


async def test_the_fake_and_postgresql_agree_at_every_step(
    contract_seed: int, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulation is only valid if the fakes behave like the servers."""
    monkeypatch.setattr(planning, "USERS_PER_RANGE", USERS_PER_RANGE)
    random = Random(contract_seed)
    pool = Database(database, size=2)
    await pool.open()
    sides = Sides(pool, at=random.choice(BEGINS), rate=random.choice([1.0, 60.0]))
    await sides.open()
    driver = Driver(sides, random)

    try:
        await driver.begin()
        for _ in range(STEPS):
            await driver.step()
    except Different as difference:
        pytest.fail(f"seed {contract_seed}, step {len(sides.steps)}, {sides.steps[-1]}:\n  {difference}")
    finally:
        await pool.close()
