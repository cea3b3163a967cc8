"""Users who move or are deleted on their day: from the API to the email service, on two nodes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.node.harness import NOON, NodeProcess, World, eventually

NINE_IN_LONDON = datetime(2027, 3, 15, 9, tzinfo=UTC)
NINE_IN_NEW_YORK = datetime(2027, 3, 15, 13, tzinfo=UTC)


async def create(node: NodeProcess, name: str) -> str:
    """Create a user in London whose birthday is the day after the start; return the id."""
    body = {
        "firstName": name,
        "lastName": "Smith",
        "email": f"{name}@example.com",
        "timezone": "Europe/London",
        "birthdayDate": "1992-03-15",
    }
    status, user = await node.call("POST", "/api/v1/users", json=body)
    assert status == 201, user
    return str(user["id"])


async def test_users_who_move_or_are_deleted_on_their_day_are_greeted_correctly(world: World) -> None:
    """Moved west: at the new 09:00. Moved east, past it: at once. Deleted: never. No user twice."""
    await world.begin()
    nodes = [await world.node(), await world.node()]
    for node in nodes:
        await node.logged("node_entered")

    async def announced() -> bool:
        return bool(await world.value("select planned_until > $1 from planning", NINE_IN_NEW_YORK))

    await eventually(announced)
    ids = {name: await create(nodes[n % 2], name) for n, name in enumerate(("stays", "west", "east", "gone"))}
    await world.planned(4)

    async def change(method: str, name: str, **options: Any) -> None:
        status, answer = await nodes[1].call(method, f"/api/v1/users/{ids[name]}", **options)
        assert status in (200, 204), answer

    async def tick() -> None:
        for _ in range(3):
            for node in nodes:
                assert (await node.call("POST", "/api/v1/jobs/minute:run"))[0] == 202

    async def greeted(*names: str) -> None:
        async def so() -> bool:
            return {one.email.partition("@")[0] for one in world.acceptances()} == set(names)

        await eventually(so)

    await world.clock.set(NINE_IN_LONDON - timedelta(minutes=30))
    for node in nodes:
        await node.logged("clock_jumped")
    await change("PATCH", "west", json={"timezone": "America/New_York"})
    await change("DELETE", "gone")
    await change("PATCH", "east", json={"timezone": "Asia/Tokyo"})
    await greeted("east")

    await world.clock.set(NINE_IN_LONDON)
    await tick()
    await greeted("east", "stays")

    await world.clock.set(NINE_IN_NEW_YORK - timedelta(minutes=1))
    await tick()
    await greeted("east", "stays")
    await world.clock.set(NINE_IN_NEW_YORK - timedelta(seconds=5))
    await greeted("east", "stays", "west")
    await tick()

    await world.assert_each_was_accepted_once(3)
    rows = await world.fetch("select user_id::text, status, send_at, claimed_at from messages")
    ways = {row["user_id"]: row for row in rows}
    assert len(ways) == len(rows) == 4
    assert ways[ids["gone"]]["status"] == "cancelled"
    assert ways[ids["west"]]["send_at"] == NINE_IN_NEW_YORK <= ways[ids["west"]]["claimed_at"]
    assert ways[ids["stays"]]["send_at"] == NINE_IN_LONDON <= ways[ids["stays"]]["claimed_at"]
    assert ways[ids["east"]]["claimed_at"] < NINE_IN_LONDON
    assert all(row["send_at"] > NOON for row in rows)
