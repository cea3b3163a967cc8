"""A node may die between any two facts that a message leaves: nothing is lost, nobody is greeted twice unknowingly."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import timedelta
from functools import partial
from typing import Any

from redis.asyncio import Redis

from actors.facts import Fact
from actors.lease import DEATH
from tests.node.conftest import MakeWorld
from tests.node.harness import NodeProcess, World, eventually


async def test_a_living_node_takes_over_within_15_seconds(another_world: MakeWorld) -> None:
    """Whatever the dead one held: a claim of the ticker, entries, bundles, greetings on the wire."""
    portions = range(30)

    async def one_world(fact: Fact) -> None:
        world = await another_world()
        await world.begin()
        dying = await world.node("--die-after", fact)
        due = await world.wave(10 * len(portions))
        # A portion a minute: whichever node gets one, the dying one has its turn soon.
        await world.fetch(
            """
            update messages m set send_at = send_at + portion * interval '1 minute',
                due_at = due_at + portion * interval '1 minute'
            from (select id, (row_number() over (order by id) - 1) / 10 as portion from messages) p where p.id = m.id
            """
        )
        living = await world.node()
        await living.logged("node_entered")
        if fact is Fact.DUE_CLAIMED:
            await let_the_ticker_of(dying, world)

        for minute in portions:
            await world.clock.set(due + timedelta(minutes=minute))
            await eventually(partial(ended_or_sent, dying, world, 10 * (minute + 1)))
            if not dying.running:
                break
        died = time.monotonic()
        assert await dying.ended() == -signal.SIGKILL, fact
        await world.clock.set(due + timedelta(minutes=len(portions)))
        await world.all_are("sent", 10 * len(portions))

        assert time.monotonic() - died < 15, fact
        await world.assert_nobody_was_greeted_twice()

    await asyncio.gather(
        *(one_world(fact) for fact in (Fact.DUE_CLAIMED, Fact.PUBLISHED, Fact.RECEIVED, Fact.CLAIMED, Fact.ANSWERED))
    )


async def test_when_nodes_die_at_once_the_rest_take_over_and_when_all_do_new_ones_begin_at_once(world: World) -> None:
    """Two of three lose their power, then the last one; those that come after them do not wait for anything."""
    world.stub.change(world.stub.options.changed({"latency": 0.05}))
    people = 1_500
    await world.begin()
    slow: dict[str, Any] = {"EMAIL_CONCURRENCY": "10", "EMAIL_TIMEOUT": "20s"}
    nodes = [await world.node(**slow) for _ in range(3)]
    for node in nodes:
        await node.logged("node_entered")
    await world.clock.set(await world.wave(people))
    await world.accepted(200)

    await asyncio.gather(*(node.kill() for node in nodes[:2]))
    died = time.monotonic()
    # The third must not be done with everything before it dies, however long the takeover may take.
    world.stub.change(world.stub.options.changed({"latency": 0.5}))
    dead = [node.lines_of("node_entered")[-1]["incarnation"] for node in nodes[:2]]

    async def taken_over() -> bool:
        query = "select count(*) from messages where status = 'sending' and claimed_by = any($1)"
        return bool(await world.value(query, dead) == 0)

    await eventually(taken_over, within=15)
    assert time.monotonic() - died < 15
    await nodes[2].kill()
    accepted = world.stub.ledger.accepted
    assert accepted < people
    fresh = await world.node(**slow)

    async def ready() -> bool:
        return (await fresh.get("/health/ready"))[0] == 200

    await eventually(ready)
    await world.accepted(accepted + 1, within=5)
    world.stub.change(world.stub.options.changed({"latency": 0}))
    await world.all_are("sent", people)

    await world.assert_nobody_was_greeted_twice()


async def test_when_all_nodes_die_at_once_those_that_are_started_again_send_within_five_seconds_of_being_ready(
    world: World,
) -> None:
    """A whole cluster without power. By the books: what is written there when the first is ready, and when it sends."""
    world.stub.change(world.stub.options.changed({"latency": 0.05}))
    people = 1_500
    await world.begin()
    slow: dict[str, Any] = {"EMAIL_CONCURRENCY": "10", "EMAIL_TIMEOUT": "20s"}
    nodes = [await world.node(**slow) for _ in range(3)]
    for node in nodes:
        await node.logged("node_entered")
    await world.clock.set(await world.wave(people))
    await world.accepted(200)
    await asyncio.gather(*(node.kill() for node in nodes))
    assert world.stub.ledger.accepted < people
    before = await world.value("select max(incarnation) from nodes")

    fresh = [await world.node(**slow, NODE_ID=node.name) for node in nodes]

    async def one_is_ready() -> bool:
        answers = [await node.get("/health/ready") for node in fresh if node.lines_of("api_listening")]
        return 200 in [status for status, _ in answers]

    await eventually(one_is_ready)
    ready_at = await world.value("select business_now()")
    world.stub.change(world.stub.options.changed({"latency": 0}))
    await world.all_are("sent", people)
    began = "select min(started_at) from attempts where incarnation > $1 and outcome = 'accepted'"
    assert (await world.value(began, before) - ready_at).total_seconds() <= 5
    await world.assert_nobody_was_greeted_twice()


async def ended_or_sent(dying: NodeProcess, world: World, count: int) -> bool:
    """Whether the node has died, or so many messages are sent without it."""
    return not dying.running or await world.has("sent", count)


async def let_the_ticker_of(node: NodeProcess, world: World) -> None:
    """Take the ticker's lock away from others until that node has it."""
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
    """The window in which a greeting may be doubled ends when Redis knows of it, before the row does."""
    world = small_world
    await world.begin()
    node = await world.node("--die-after", Fact.REMEMBERED)
    await world.clock.set(await world.wave(1))
    assert await node.ended() == -signal.SIGKILL

    survivor = await world.node()
    await world.all_are("sent", 1)

    assert len(world.acceptances()) == 1
    assert await survivor.metric('duplicates_suppressed_total{by="dedupe"}') == 1
    # It was sent, but nobody here made a call, or knows how late the call was that the dead node made.
    assert await survivor.metric('messages_sent_total{occasion="birthday"}') == 1
    assert await survivor.metric('message_delivery_duration_seconds_count{outcome="accepted"}') == 0
    assert await survivor.metric('message_lateness_seconds_count{occasion="birthday"}') == 0
    (line,) = survivor.lines_of("greeting_sent")
    assert (line["outcome"], line["seconds"], line["lateness"]) == ("accepted", None, None)


async def test_claims_that_fail_do_not_use_up_the_prefetch(world: World) -> None:
    """A bundle that nobody can claim, and that is never acknowledged, would take the place of others for ever."""
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
    await node.logged("bundle_not_claimed", times=11)
    await eventually(lambda: world.has("sent", 400))
    await world.clock.advance(timedelta(minutes=2))
    assert (await node.call("POST", "/api/v1/jobs/recovery:run"))[0] == 202
    await world.all_are("sent", 1_000)

    assert len(world.acceptances()) == 1_000
    assert node.running


async def test_a_node_that_stood_still_sends_nothing_that_was_taken_over(world: World) -> None:
    """A stopped process knows nothing of its death. When it goes on it must find that out before it acts."""
    world.stub.change(world.stub.options.changed({"latency": 0.05}))
    await world.begin()
    slow: dict[str, Any] = {"EMAIL_CONCURRENCY": "8", "EMAIL_TIMEOUT": "5s"}
    sleeper = await world.node(**slow)
    due = await world.wave(1_500)
    other = await world.node(**slow)
    await other.logged("node_entered")

    await world.clock.set(due)
    await world.accepted(300)
    sleeper.send(signal.SIGSTOP)
    await other.logged("node_died", dead_node=sleeper.name, within=DEATH + 4)
    await other.logged("recovered")

    async def freed_are_sent() -> bool:
        query = """
            select count(*) from messages m join attempts a on a.message_id = m.id and a.outcome = 'unknown'
            where m.status <> 'sent'
        """
        return bool(await world.value(query) == 0)

    await eventually(freed_are_sent)
    sleeper.send(signal.SIGCONT)
    await sleeper.logged("node_was_ended_by_others")
    await world.all_are("sent", 1_500)

    await world.assert_nobody_was_greeted_twice()
    # It was in the middle of sending: there was something to take over.
    assert (await world.excused()).total() > 0
    twice = await world.fetch(
        "select message_id from attempts where outcome = 'accepted' group by message_id having count(*) > 1"
    )
    # Answers that lay in its sockets, or had just been read, while it stood still are facts, and are written down;
    # nothing new was sent.
    assert len(twice) <= 16
    assert sleeper.crashes() == []
