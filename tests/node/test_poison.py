"""What cannot be sent ends where a person sees it, and holds up nobody else."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from redis.asyncio import Redis

from tests.node.harness import NOON, World, eventually


async def test_a_text_that_cannot_be_made_and_ids_of_nobody_hold_up_nobody(small_world: World) -> None:
    """A template spoilt by hand fails its own greetings, with the reason; ids that no row has are dropped."""
    world = small_world
    await world.begin()
    node = await world.node()
    due = await world.wave(60)
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


async def test_a_row_that_nobody_can_claim_holds_up_nobody_and_is_named(small_world: World) -> None:
    """Its attempts are as many as the column can count: the claim of its bundle fails as a whole, every time, and took
    everybody in it down with it."""
    world = small_world
    await world.begin()
    node = await world.node()
    due = await world.wave(60)
    poison = await world.value("select id from messages order by id limit 1")
    await world.fetch("update messages set attempt = 32767 where id = $1", poison)

    await world.clock.set(due)

    async def the_others_are_sent() -> bool:
        return await world.has("sent", 59)

    await eventually(the_others_are_sent)
    line = await node.logged("message_not_claimed")
    assert (line["message"], line["level"]) == (str(poison), "error")
    assert node.crashes() == []


async def test_a_zone_that_this_node_does_not_know_holds_up_nobody(small_world: World) -> None:
    """A node with newer zone data took that user: an older one greets everybody else, and says so when it is asked."""
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
