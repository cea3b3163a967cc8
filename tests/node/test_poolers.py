"""Nodes behind PgBouncer: a wave leaves, and users are created, as without it."""

from __future__ import annotations

import pytest

from tests.node.harness import World, eventually
from tests.pgbouncer import pooled

ADA = {
    "firstName": "Ada",
    "lastName": "Smith",
    "email": "ada@example.com",
    "timezone": "Europe/London",
    "birthdayDate": "1990-12-10",
}


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_a_wave_leaves_and_users_are_created_through_a_pooler(small_world: World, mode: str) -> None:
    """With PgBouncer's defaults, and nothing configured at the node."""
    world = small_world
    await world.begin()
    async with pooled(world.dsn, mode) as pooler:
        nodes = [await world.node(DATABASE_URL=pooler.dsn()) for _ in range(2)]
        await world.clock.set(await world.wave(300))
        await world.all_are("sent", 300)
        created, _ = await nodes[0].call("POST", "/api/v1/users", json=ADA)
        again, _ = await nodes[1].call("POST", "/api/v1/users", json=ADA)
        await eventually(nodes[0].ready)

        assert (created, again) == (201, 409)
        await world.assert_each_was_accepted_once(300)
        for node in nodes:
            assert node.crashes() == []
            assert node.lines_of("outage_began", system="postgres") == []
            assert await node.drained() == 0
