"""Several nodes compete for the same work: the rows decide, and each greeting leaves once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import aio_pika
import pytest

from tests.node.harness import ROOT, World, eventually

A_WAVE = 600

EVERY_LOCK_IS_FREE = """
from service.adapters.redis.locks import RedisLocks

async def acquire(self, name, *, ttl, above=0):
    return {number}

async def renew(self, name, number, *, ttl):
    return True

RedisLocks.acquire, RedisLocks.renew = acquire, renew
"""


NOTE_WHO_HANDS_OUT = (
    "create table handed_out (message_id uuid, was text, by bigint)",
    """
    create function note() returns trigger language plpgsql as $$
    begin insert into handed_out values (new.id, old.status, new.queued_by); return null; end $$
    """,
    """
    create trigger note after update on messages for each row
        when (new.status = 'queued' and new.queued_at is distinct from old.queued_at) execute function note()
    """,
)


def in_which_every_lock_is_free(directory: Path, number: str) -> dict[str, str]:
    """Return an environment in which a process gets every lock, with that token, and keeps it."""
    (directory / "sitecustomize.py").write_text(EVERY_LOCK_IS_FREE.format(number=number))
    return {"PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)])}


@pytest.mark.parametrize("number", ["7", "above + 1"], ids=["of the same number", "of a higher number each"])
async def test_tickers_that_all_believe_that_they_hold_the_lock_hand_out_each_message_once(
    small_world: World, tmp_path: Path, number: str
) -> None:
    """Locks avoid work and decide nothing. With one token for all, not even fencing separates the tickers; with tokens
    that grow, each replaces the others again and again."""
    world = small_world
    await world.begin()
    free_for_all = in_which_every_lock_is_free(tmp_path, number)
    nodes = [await world.node(beside=free_for_all, EMAIL_TIMEOUT="30s") for _ in range(3)]
    for node in nodes:
        await node.logged("node_entered")
    due = await world.wave(A_WAVE)
    for statement in NOTE_WHO_HANDS_OUT:
        await world.fetch(statement)

    await world.clock.set(due)
    await world.all_are("sent", A_WAVE)

    handed_out = await world.fetch("select * from handed_out")
    at_first = [row["message_id"] for row in handed_out if row["was"] == "scheduled"]
    assert len(at_first) == len(set(at_first)) == A_WAVE
    # A node that stands still on a busy machine loses its lease, and what it had claimed is tried again.
    assert {row["was"] for row in handed_out} <= {"scheduled", "retrying"}
    await world.assert_each_was_accepted_once(A_WAVE)
    assert [node.crashes() for node in nodes] == [[], [], []]


async def test_bundles_delivered_a_thousand_times_greet_each_user_once(world: World) -> None:
    """The broker redelivers everything to three nodes while calls are under way."""
    people, copies = 20, 1_000
    world.stub.change(world.stub.options.changed({"latency": 5.0}))
    await world.begin()
    nodes = [await world.node(EMAIL_TIMEOUT="30s") for _ in range(3)]
    for node in nodes:
        await node.logged("node_entered")
    due = await world.wave(people)
    bundle = ",".join(str(row["id"]) for row in await world.fetch("select id from messages order by id")).encode()

    await world.clock.set(due)
    await eventually(lambda: world.has("sending", 1), every=0.01)
    async with await aio_pika.connect(str(world.rabbitmq_url)) as connection:
        channel = await connection.channel(publisher_confirms=False)
        exchange = await channel.get_exchange("heyday.delivery", ensure=False)
        message = aio_pika.Message(bundle, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await asyncio.gather(*(exchange.publish(message, "heyday.delivery") for _ in range(copies)))

        async def suppressed() -> bool:
            counts = [await node.metric('duplicates_suppressed_total{by="row"}') for node in nodes]
            return sum(counts) >= people * copies

        await eventually(suppressed, within=80, every=0.3)
    await world.all_are("sent", people)

    await world.assert_each_was_accepted_once(people)
    assert await world.value("select count(*) from attempts") == people
    shares = [await node.metric("queue_messages_processed_total") for node in nodes]
    assert min(shares) > people, shares
    assert [node.crashes() for node in nodes] == [[], [], []]
