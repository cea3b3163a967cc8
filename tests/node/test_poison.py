"""A message that cannot be sent ends where an operator sees it, and delays no other."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from tests.node.harness import NOON, ROOT, World, eventually

LOST_SOON = """
import actors.recovery

actors.recovery.CLAIMED_FOR = actors.recovery.PASS_INTERVAL = 1.0
"""
"""A living node's lost claim is freed after seconds of its own clock, which no test moves, instead of over a minute."""


async def test_a_broken_template_and_unknown_ids_delay_no_greeting(small_world: World) -> None:
    """A template that was broken by hand fails its own greetings, with the reason. Unknown ids are dropped."""
    world = small_world
    await world.begin()
    node = await world.node()
    due = await world.wave(60)
    # The database refuses such a text. This one was stored before the check existed.
    await world.fetch("alter table occasions disable trigger occasions_checked")
    await world.fetch("insert into occasions (code, template) values ('name_day', 'Hey, {full_name.__class__}')")
    await world.fetch(
        "update messages set occasion = 'name_day' where id in (select id from messages order by id limit 5)"
    )
    async with Redis.from_url(world.redis_url) as redis:
        ids = ",".join(str(uuid4()) for _ in range(7))
        await redis.xadd("heyday:due", {"body": ids})

        await world.clock.set(due)
        await world.all_end()

        async def dropped() -> bool:
            return await node.metric('duplicates_suppressed_total{by="row"}') >= 7

        await eventually(dropped)

    assert await world.counts() == {"sent": 55, "failed": 5}
    _, page = await node.get("/api/v1/messages?status=failed")
    assert len(page["items"]) == 5
    assert all(one["reason"].startswith("the text cannot be made: template") for one in page["items"])
    assert node.crashes() == []


async def test_a_message_at_the_bound_of_its_attempts_is_sent_with_the_others(small_world: World) -> None:
    """The number of attempts stays at the column's maximum.

    A larger number would fail the claim of the whole bundle.
    """
    world = small_world
    await world.begin()
    node = await world.node()
    due = await world.wave(60)
    await world.fetch("update messages set attempt = 32767 where id = (select id from messages order by id limit 1)")

    await world.clock.set(due)

    await world.all_are("sent", 60)
    assert node.lines_of("message_set_aside") == []
    assert node.crashes() == []


_HARMLESS = "create or replace function refuse() returns trigger language plpgsql as 'begin return new; end'"


@pytest.mark.parametrize(("refused", "action", "accepted"), [("queued", "claim_due", 99), ("sent", "record", 100)])
async def test_a_row_that_cannot_be_changed_stops_no_other_and_is_named(
    small_world: World, tmp_path: Path, refused: str, action: str, accepted: int
) -> None:
    """A trigger that raises stands for a damaged page or a broken constraint. The outcome is kept."""
    world = small_world
    (tmp_path / "sitecustomize.py").write_text(LOST_SOON)
    await world.begin()
    await world.fetch(_HARMLESS)
    await world.fetch("create trigger refuse before update on messages for each row execute function refuse()")
    node = await world.node(beside={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])})
    due = await world.wave(100)
    damaged = await world.value("select id from messages order by id limit 1")
    # Only the function changes: to create or drop the trigger locks every partition, and deadlocks with a node's reads.
    await world.fetch(
        f"""
        create or replace function refuse() returns trigger language plpgsql as $$
        begin
            if new.id = '{damaged}' and new.status = '{refused}' then raise exception 'this row is damaged'; end if;
            return new;
        end $$
        """
    )

    await world.clock.set(due)

    await eventually(lambda: world.has("sent", 99))
    line = await node.logged("message_set_aside")
    assert (line["message"], line["action"], line["level"]) == (str(damaged), action, "error")
    await world.assert_each_was_accepted_once(accepted)

    async def shown() -> Any:  # a check that is slow on a busy machine has no figures
        return (await node.get("/health/detailed"))[1]["database"].get("setAside")

    assert [(one["id"], one["action"]) for one in await eventually(shown)] == [(str(damaged), action)]
    assert node.crashes() == []

    await world.fetch(_HARMLESS)
    await world.clock.advance(timedelta(minutes=10))
    await world.all_are("sent", 100)
    await world.assert_each_was_accepted_once(100)
    assert node.crashes() == []


async def test_a_zone_that_this_node_does_not_know_delays_no_greeting(small_world: World) -> None:
    """A newer node accepted that user. An older node greets all others, and reports the user when asked."""
    world = small_world
    await world.begin()
    await world.users(1, NOON.date() + timedelta(days=1), timezone="Mars/Olympus_Mons")
    node = await world.node()
    await world.users(20, NOON.date() + timedelta(days=1))
    await world.planned(20)
    user = await world.value("select id from users where timezone = 'Mars/Olympus_Mons'")

    edited, _ = await node.call("PATCH", f"/api/v1/users/{user}", json={"birthdayDate": "1990-05-05"})
    explained, problem = await node.get(f"/api/v1/users/{user}/explanation")
    await world.clock.set(NOON + timedelta(hours=21))
    await world.all_are("sent", 20)

    assert (edited, explained) == (503, 503)
    assert "has no zone 'Mars/Olympus_Mons'" in problem["detail"]
    assert node.lines_of("request_failed") == []
    assert node.crashes() == []
