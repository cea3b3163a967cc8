"""Compares a preview of a day with what a node then does."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.node.harness import NOON, NodeProcess, World, eventually

EAST, WEST = "Pacific/Kiritimati", "Pacific/Pago_Pago"
FROM, TO = datetime(2027, 3, 14, 12, tzinfo=UTC), datetime(2027, 3, 16, 12, tzinfo=UTC)
PATH = "/api/v1/preview?from=2027-03-14T12:00:00Z&to=2027-03-16T12:00:00Z&limit=500"


async def preview(node: NodeProcess) -> dict[str, dict[str, Any]]:
    status, page = await node.get(PATH)
    assert status == 200, page
    assert page["nextCursor"] is None
    return {item["userId"]: item for item in page["items"]}


async def test_a_node_does_what_its_preview_says(small_world: World) -> None:
    """On both sides of the date line: expected, then scheduled, then sent at that instant."""
    world = small_world
    await world.begin()
    for zone in (EAST, "Asia/Tokyo", "Europe/London", "America/New_York", WEST):
        await world.users(3, date(2027, 3, 15), timezone=zone)
    await world.users(2, date(2027, 3, 15), timezone="UTC", created_at=datetime(2027, 3, 15, 9, tzinfo=UTC))
    node = await world.node()
    before = await preview(node)
    await world.planned(15)
    planned = await preview(node)

    await world.clock.set(TO)
    await world.accepted(15)
    await world.all_end()

    after = await preview(node)
    rows = await world.fetch(
        "select user_id::text, send_at from messages where send_at >= $1 and send_at < $2", FROM, TO
    )
    made = {row["user_id"]: row["send_at"] for row in rows}
    expected = {user for user, item in before.items() if item["leftOut"] is None}
    assert len(made) == 15
    assert expected == made.keys()
    for seen, statuses in ((before, {"expected", "scheduled"}), (planned, {"scheduled"}), (after, {"sent"})):
        assert {seen[user]["status"] for user in made} <= statuses
        assert {user: datetime.fromisoformat(seen[user]["sendAt"]) for user in made} == made
        late = [item["leftOut"] for user, item in seen.items() if user not in made]
        assert late == ["created_too_late"] * 2
    assert NOON < min(made.values()) < max(made.values()) - timedelta(hours=20)

    async def said() -> bool:
        _, found = await node.get(f"/api/v1/users/{next(iter(made))}/explanation")
        (why,) = [day["why"] for day in found["days"] if day["why"].startswith("The message was sent ")] or [""]
        at, due = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", why) or ("", "")
        # The attempt began after the instant at which it was due.
        return due == "2027-03-15 09:00:00" <= at

    await eventually(said)
