"""A node may die at any failpoint: no greeting is lost, and none is sent twice without an unknown outcome."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from functools import partial
from typing import Any

from redis.asyncio import Redis

from actors.failpoints import Failpoint
from service.node.lease import DEATH_TIMEOUT
from tests.node.conftest import MakeWorld
from tests.node.harness import NodeProcess, World, eventually
from tests.stopwatch import Stopwatch

PEOPLE = 700

SLOW: dict[str, Any] = {"EMAIL_CONCURRENCY": "10", "EMAIL_TIMEOUT": "20s"}


async def test_a_living_node_takes_over_within_15_seconds(another_world: MakeWorld) -> None:
    """The dead node held a claim of the ticker, entries, bundles, or calls under way."""
    portions = range(30)

    async def one_world(failpoint: Failpoint) -> None:
        world = await another_world()
        await world.begin()
        dying = await world.node("--crash-at", failpoint)
        due = await world.wave(10 * len(portions))
        # One portion a minute, so that the dying node soon gets one.
        await world.fetch(
            """
            update messages m set send_at = send_at + portion * interval '1 minute',
                due_at = due_at + portion * interval '1 minute'
            from (select id, (row_number() over (order by id) - 1) / 10 as portion from messages) p where p.id = m.id
            """
        )
        living = await world.node()
        await living.logged("node_entered")
        if failpoint is Failpoint.DUE_CLAIMED:
            await let_the_ticker_of(dying, world)

        for minute in portions:
            await world.clock.set(due + timedelta(minutes=minute))
            await eventually(partial(ended_or_sent, dying, world, 10 * (minute + 1)))
            if not dying.running:
                break
        since_death = Stopwatch()
        assert await dying.ended() == -signal.SIGKILL, failpoint
        await world.clock.set(due + timedelta(minutes=len(portions)))
        await world.all_are("sent", 10 * len(portions))

        assert since_death.seconds() < 15, failpoint
        await world.assert_nobody_was_greeted_twice()

    await asyncio.gather(
        *(
            one_world(failpoint)
            for failpoint in (
                Failpoint.DUE_CLAIMED,
                Failpoint.PUBLISHED,
                Failpoint.RECEIVED,
                Failpoint.CLAIMED,
                Failpoint.ANSWERED,
            )
        )
    )


async def three_nodes_in_a_wave(world: World) -> list[NodeProcess]:
    """Start three slow nodes, and return them when 100 of `PEOPLE` greetings are accepted."""
    world.stub.change(world.stub.options.changed({"latency": 0.05}))
    await world.begin()
    nodes = [await world.node(**SLOW) for _ in range(3)]
    for node in nodes:
        await node.logged("node_entered")
    await world.clock.set(await world.wave(PEOPLE))
    await world.accepted(100)
    return nodes


async def test_surviving_or_new_nodes_take_over_when_several_die_at_once(world: World) -> None:
    """Two of three lose power, then the last one. New nodes do not wait."""
    nodes = await three_nodes_in_a_wave(world)

    await asyncio.gather(*(node.kill() for node in nodes[:2]))
    since_death = Stopwatch()
    # The third node must have work left when it dies, also after a slow takeover.
    world.stub.change(world.stub.options.changed({"latency": 2.0}))
    dead = [node.lines_of("node_entered")[-1]["incarnation"] for node in nodes[:2]]

    async def taken_over() -> bool:
        query = "select count(*) from messages where status = 'sending' and claimed_by = any($1)"
        return bool(await world.value(query, dead) == 0)

    await eventually(taken_over)
    assert since_death.seconds() < 15
    await nodes[2].kill()
    accepted = world.stub.ledger.accepted
    assert accepted < PEOPLE
    world.stub.change(world.stub.options.changed({"latency": 0.05}))
    fresh = await world.node(**SLOW)

    async def ready() -> bool:
        return (await fresh.get("/health/ready"))[0] == 200

    await eventually(ready)
    since_ready = Stopwatch()
    await world.accepted(accepted + 1)
    assert since_ready.seconds() < 5
    world.stub.change(world.stub.options.changed({"latency": 0}))
    await world.all_are("sent", PEOPLE)

    await world.assert_nobody_was_greeted_twice()


async def test_after_the_death_of_all_nodes_new_ones_send_within_five_seconds(
    world: World,
) -> None:
    """A power failure of the whole cluster, measured by the email log: when a node is ready, and when it sends."""
    nodes = await three_nodes_in_a_wave(world)
    await asyncio.gather(*(node.kill() for node in nodes))
    assert world.stub.ledger.accepted < PEOPLE
    before = await world.value("select max(incarnation) from nodes")

    fresh = [await world.node(**SLOW, NODE_ID=node.name) for node in nodes]

    async def one_is_ready() -> bool:
        answers = [await node.get("/health/ready") for node in fresh if node.lines_of("api_listening")]
        return 200 in [status for status, _ in answers]

    await eventually(one_is_ready)
    ready_at, since_ready = await world.value("select business_now()"), Stopwatch()
    world.stub.change(world.stub.options.changed({"latency": 0}))
    await world.all_are("sent", PEOPLE)
    starved = since_ready.starved()
    began = "select min(started_at) from attempts where incarnation > $1 and outcome = 'accepted'"
    assert (await world.value(began, before) - ready_at).total_seconds() <= 5 + starved
    await world.assert_nobody_was_greeted_twice()


async def ended_or_sent(dying: NodeProcess, world: World, count: int) -> bool:
    """Return True if the node has died, or `count` messages are sent."""
    return not dying.running or await world.has("sent", count)


async def let_the_ticker_of(node: NodeProcess, world: World) -> None:
    """Take the ticker's lock from others until that node has it."""
    redis = Redis.from_url(world.redis_url, decode_responses=True)

    async def works() -> bool:
        holder = str(await redis.get("heyday:lock:{ticker}"))
        held = holder.endswith(f":{node.name}")
        if not held:
            await redis.delete("heyday:lock:{ticker}")
        return held

    await eventually(works, every=0.2)
    await redis.aclose()


async def test_what_was_remembered_as_accepted_is_not_sent_again(small_world: World) -> None:
    """The time in which a greeting may be sent twice ends when Redis knows it, before the row does."""
    world = small_world
    await world.begin()
    node = await world.node("--crash-at", Failpoint.REMEMBERED, EMAIL_TIMEOUT="20s")
    await world.clock.set(await world.wave(1))
    assert await node.ended() == -signal.SIGKILL

    survivor = await world.node(EMAIL_TIMEOUT="20s")
    await world.all_are("sent", 1)

    assert len(world.acceptances()) == 1
    assert await survivor.metric('duplicates_suppressed_total{by="dedupe"}') == 1
    # It was sent, but the living nodes made no call and do not know how late the dead node's call was.
    assert await survivor.metric('messages_sent_total{occasion="birthday"}') == 1
    assert await survivor.metric('message_delivery_duration_seconds_count{outcome="accepted"}') == 0
    assert await survivor.metric('message_lateness_seconds_count{occasion="birthday"}') == 0
    (line,) = survivor.lines_of("greeting_sent")
    assert (line["outcome"], line["seconds"], line["lateness"]) == ("accepted", None, None)


async def test_claims_that_fail_do_not_use_up_the_prefetch(world: World) -> None:
    """A bundle that cannot be claimed and is never acknowledged would block the place of others."""
    await world.begin()
    node = await world.node()
    due = await world.wave(1_000)
    await world.fetch("create sequence failures")
    await world.fetch(
        """
        create function fail() returns trigger language plpgsql as $$
        begin
            if new.status = 'sending' and old.status = 'queued' and nextval('failures') <= 600 then
                raise exception 'a bug';
            end if;
            return new;
        end $$
        """
    )
    await world.fetch("create trigger fail before update on messages for each row execute function fail()")

    await world.clock.set(due)
    await node.logged("message_set_aside", times=200)
    await eventually(lambda: world.has("sent", 400))
    await world.clock.advance(timedelta(minutes=2))
    assert (await node.call("POST", "/api/v1/jobs/recovery:run"))[0] == 202
    await world.all_are("sent", 1_000)

    await world.assert_each_was_accepted_once(1_000)
    assert node.running


async def test_a_node_that_stood_still_sends_nothing_that_was_taken_over(world: World) -> None:
    """A stopped process does not know that it was declared dead. It must find out before it acts."""
    world.stub.change(world.stub.options.changed({"latency": 0.05}))
    await world.begin()
    slow: dict[str, Any] = {"EMAIL_CONCURRENCY": "8", "EMAIL_TIMEOUT": "5s"}
    sleeper = await world.node(**slow)
    due = await world.wave(600)
    other = await world.node(**slow)
    await other.logged("node_entered")

    await world.clock.set(due)
    await world.accepted(150)
    sleeper.send(signal.SIGSTOP)
    since_stop = Stopwatch()
    of_sleeper = sleeper.lines_of("node_entered")[-1]["incarnation"]
    await other.logged("node_died", dead_node=sleeper.name)
    assert since_stop.seconds() < DEATH_TIMEOUT + 4
    await other.logged("recovered")

    async def freed_are_sent() -> bool:
        query = """
            select count(*) from messages m join attempts a on a.message_id = m.id and a.outcome = 'unknown'
            where m.status <> 'sent'
        """
        return bool(await world.value(query) == 0)

    await eventually(freed_are_sent)
    continued_at = await world.clock.now()
    accepted = len(world.acceptances())
    sleeper.send(signal.SIGCONT)
    await sleeper.logged("node_evicted")
    await world.all_are("sent", 600)

    await world.assert_nobody_was_greeted_twice()
    # It was sending, so there was work to take over.
    assert (await world.excused()).total() > 0
    # What was answered before is recorded, and what others sent is found to be accepted. No call begins. A node that
    # stood still between a call and its record puts the call too late, but the email service had accepted it before.
    keys = [one.key for one in world.acceptances()]
    before = {*keys[:accepted]} - {*keys[accepted:]}
    begun = "select message_id::text, error from attempts where incarnation = $1 and started_at >= $2"
    assert {
        row["error"]
        for row in await world.fetch(begun, of_sleeper, continued_at)
        if row["error"] is not None or row["message_id"] not in before
    } <= {"accepted by an earlier attempt"}
    assert sleeper.crashes() == []
