"""Nodes with different hours in their environments: the database decides, and a changed hour loses no user."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from tests.node.harness import World, eventually

BEYOND = "Etc/GMT+4"
"""At 09:00 there, on the last planned day, the planned time is over; at 07:00 it is not."""


async def hour(world: World) -> str:
    """The hour in the database."""
    return str(await world.value("select send_at::text from planning"))


async def has_instants(world: World, expected: set[datetime]) -> bool:
    return {row[0] for row in await world.fetch("select send_at from messages where status = 'scheduled'")} == expected


async def test_a_node_with_an_earlier_hour_moves_planned_messages_and_loses_none(small_world: World) -> None:
    world = small_world
    await world.begin()
    await world.users(5, date(2027, 3, 15))
    await world.users(3, date(2027, 3, 16), timezone=BEYOND)
    first = await world.node()
    await world.planned(5)
    assert await has_instants(world, {datetime(2027, 3, 15, 9, tzinfo=UTC)})
    assert await first.drained() == 0

    second = await world.node(SEND_AT="07:00")
    changed = await second.logged("planning_rules_changed", before="09:00:00 feb28", after="07:00:00 feb28")

    assert changed["ranges"] > 0
    moved = {datetime(2027, 3, 15, 7, tzinfo=UTC), datetime(2027, 3, 16, 11, tzinfo=UTC)}
    await eventually(lambda: has_instants(world, moved))
    assert await world.value("select count(*) from messages") == 8
    assert second.crashes() == []


async def test_a_rolling_restart_does_not_write_the_old_hour_again(small_world: World) -> None:
    """A node with the old environment is killed and restarts after another node has written the new hour."""
    world = small_world
    await world.begin()
    old = await world.node()
    await old.logged("planning_rules_changed", after="09:00:00 feb28")
    new = await world.node(SEND_AT="08:00")
    await new.logged("planning_rules_changed", after="08:00:00 feb28")
    await old.logged("planning_rules_differ", ours="09:00:00 feb28", database="08:00:00 feb28")
    await old.kill()

    again = await world.node()
    await again.logged("planning_rules_differ", ours="09:00:00 feb28", database="08:00:00 feb28")

    assert await hour(world) == "08:00:00"
    assert again.lines_of("planning_rules_changed") == []

    async def shown() -> Any:  # a check that is slow on a busy machine has no figures
        rules = (await again.get("/health/detailed"))[1]["rules"]
        return rules if "sendAt" in rules else None

    rules = await eventually(shown)
    assert rules["sendAt"] == "08:00:00"
    assert rules["environmentDiffers"] is True


async def test_a_wrong_occasion_that_no_trigger_saw_is_logged_once(small_world: World) -> None:
    """A restored or replicated row does not change the version of the rules."""
    world = small_world
    await world.begin()
    node = await world.node()
    await node.logged("planning_rules_changed")
    await world.fetch("alter table occasions disable trigger user")

    await world.fetch("insert into occasions (code, template, send_at) values ('eve', 'Hi {first_name}', '24:00')")
    await node.logged("occasion_not_understood", occasion="eve", left_out=True)
    await world.fetch("insert into occasions (code, template) values ('dear', 'Dear {name}')")
    await node.logged("occasion_not_understood", occasion="dear", left_out=False)

    assert len(node.lines_of("occasion_not_understood")) == 2
