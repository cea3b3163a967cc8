"""The effect of each answer of the email service: open circuit, Retry-After, refusals, and a held outcome."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import aio_pika
from redis.asyncio import Redis

from tests.node.harness import ROOT, World, eventually, heyday
from tests.stopwatch import Stopwatch


async def dead_letters(world: World) -> list[bytes]:
    """Take the dead letters out of RabbitMQ, and return their bodies."""
    bodies = []
    async with await aio_pika.connect(str(world.rabbitmq_url)) as connection:
        queue = await (await connection.channel()).get_queue("heyday.dead")
        while (message := await queue.get(fail=False)) is not None:
            bodies.append(message.body)
            await message.ack()
    return bodies


async def test_while_the_circuit_is_open_nothing_is_sent_and_no_attempt_is_spent(world: World) -> None:
    """A service that is down gets no calls, and the greetings wait."""
    world.stub.change(world.stub.options.changed({"down": True}))
    await world.begin()
    node = await world.node(CIRCUIT_FAILURES="5", CIRCUIT_RESET="8s", EMAIL_CONCURRENCY="10")
    await world.clock.set(await world.wave(300))

    await node.logged("circuit_opened")

    async def nothing_on_the_wire() -> bool:
        return (await world.counts())["sending"] == 0

    await eventually(nothing_on_the_wire)
    attempts, requests = await world.value("select count(*) from attempts"), world.stub.ledger.requests
    for job in ("minute", "recovery"):
        assert (await node.call("POST", f"/api/v1/jobs/{job}:run"))[0] == 202
    assert await node.metric('circuit_breaker_state{service="message-api"}') == 1
    await eventually(nothing_on_the_wire)  # what was claimed when the circuit opened goes back
    assert len(node.lines_of("circuit_opened")) == 1
    assert await world.value("select count(*) from attempts") == attempts == world.stub.ledger.requests == requests

    world.stub.change(world.stub.options.changed({"down": False}))
    ended = await node.logged("circuit_closed", level="info")
    await world.all_are("sent", 300)
    # Failed trials are not logged: one line when the outage begins, one when it ends.
    assert ended["seconds"] >= 8
    assert node.lines_of("circuit_changed") == []
    assert len(node.lines_of("circuit_opened")) == 1
    await world.assert_each_was_accepted_once(300)


async def test_retry_after_is_honoured(small_world: World) -> None:
    """A service that asks for two seconds gets no call before they are over."""
    world = small_world
    world.stub.change(world.stub.options.changed({"rate": 1e-9, "retryAfter": 2}))
    await world.begin()
    await world.node(CIRCUIT_FAILURES="1000", EMAIL_BACKOFF="10ms", EMAIL_BACKOFF_LIMIT="10ms")
    await world.clock.set(await world.wave(12))

    async def asked_to_wait() -> bool:
        return world.stub.ledger.throttled >= 14

    await eventually(asked_to_wait)
    world.stub.change(world.stub.options.changed({"rate": 0}))
    await world.all_are("sent", 12)

    waits = await world.fetch(
        "select b.started_at - a.recorded_at as wait from attempts a join attempts b using (message_id)"
        " where a.status_code = 429 and b.number = a.number + 1"
    )
    assert len(waits) >= 10
    assert min(row["wait"] for row in waits) >= timedelta(seconds=1.9)


async def test_what_is_refused_fails_and_leaves_a_copy(world: World) -> None:
    """Operators find failed messages among the dead letters, by id only."""
    await world.begin()
    await world.node(EMAIL_TIMEOUT="20s")
    due = await world.wave(5)
    # This fake refuses a blank address with 400.
    await world.fetch("update users set email = ' ' where id = (select user_id from messages order by id limit 1)")

    await world.clock.set(due)

    async def ended() -> bool:
        return await world.counts() == {"sent": 4, "failed": 1}

    await eventually(ended)

    async def mark_dead_lettered() -> bool:
        return bool(await world.value("select count(*) from messages where dead_lettered_at is not null") == 1)

    await eventually(mark_dead_lettered)
    (failed,) = await world.fetch("select id, attempts_spent, status_reason from messages where status = 'failed'")
    assert set(await dead_letters(world)) == {str(failed["id"]).encode()}
    assert failed["status_reason"].startswith("400 Bad Request: expected")


async def test_a_held_outcome_waits_for_a_person(small_world: World) -> None:
    """With HEYDAY_UNKNOWN_OUTCOME=hold no call is repeated that the service may have accepted."""
    world = small_world
    world.stub.change(world.stub.options.changed({"acceptThenFailRate": 1.0}))
    await world.begin()
    node = await world.node(UNKNOWN_OUTCOME="hold", CIRCUIT_FAILURES="1000", EMAIL_TIMEOUT="20s")
    await world.clock.set(await world.wave(40))

    await world.all_are("unknown", 40)
    for job in ("minute", "recovery"):
        assert (await node.call("POST", f"/api/v1/jobs/{job}:run"))[0] == 202

    assert await world.counts() == {"unknown": 40}
    assert world.stub.ledger.requests == 40
    assert await node.metric('messages_outcome_unknown_total{occasion="birthday"}') == 40


async def test_what_was_held_is_sent_once_a_person_says_so(small_world: World) -> None:
    """The command and the route both call again with the same key, so a service that honours it delivers once."""
    world = small_world
    world.stub.change(world.stub.options.changed({"acceptThenFailRate": 1.0}))
    await world.begin()
    node = await world.node(UNKNOWN_OUTCOME="hold", CIRCUIT_FAILURES="1000", EMAIL_TIMEOUT="20s")
    await world.clock.set(await world.wave(6))
    await world.all_are("unknown", 6)
    world.stub.change(world.stub.options.changed({"acceptThenFailRate": 0.0}))

    _, held = await node.get("/api/v1/messages?status=unknown&limit=2")
    for message in held["items"]:
        assert (await node.call("POST", f"/api/v1/messages/{message['id']}:redrive"))[0] == 202
    command = await heyday("redrive", "--status", "unknown", environment=world.environment())
    assert await command.ended() == 0
    await world.all_are("sent", 6)

    ids = {str(row["id"]) for row in await world.fetch("select id from messages")}
    assert Counter(str(one.key) for one in world.acceptances()) == dict.fromkeys(ids, 2)
    await world.assert_nobody_was_greeted_twice()


async def test_a_service_that_never_answers_is_called_until_its_key_is_forgotten(small_world: World) -> None:
    """With `resend` the message then waits for an operator, with its recorded attempts."""
    world = small_world
    world.stub.change(world.stub.options.changed({"acceptThenFailRate": 1.0}))
    await world.begin()
    node = await world.node(EMAIL_ATTEMPTS="3", CIRCUIT_FAILURES="1000", IDEMPOTENCY_LASTS="10s", EMAIL_TIMEOUT="8s")
    await world.clock.set(await world.wave(4))
    await world.all_are("unknown", 4)

    keys = Counter(str(one.key) for one in world.acceptances())
    assert min(keys.values()) >= 2
    _, unknown = await node.get("/api/v1/messages?status=unknown")
    _, timeline = await node.get(f"/api/v1/messages/{unknown['items'][0]['id']}")
    outcomes = [step["outcome"] for step in timeline["timeline"] if step["event"] == "attempt"]
    assert set(outcomes) == {"unknown"}
    assert len(outcomes) == keys[unknown["items"][0]["id"]]
    await world.assert_nobody_was_greeted_twice()


async def test_the_rate_holds_over_all_nodes(small_world: World) -> None:
    """HEYDAY_EMAIL_RATE is the limit of the email service for the whole deployment."""
    world = small_world
    await world.begin()
    nodes = [await world.node(EMAIL_RATE="50", EMAIL_TIMEOUT="20s") for _ in range(2)]
    due = await world.wave(300)
    for node in nodes:
        await node.logged("node_entered")

    watch = Stopwatch()
    await world.clock.set(due)
    await world.all_are("sent", 300)
    starved = watch.starved()

    times = [one.at / 1000 for one in world.acceptances()]
    assert len(times) == 300
    # Any call may be late on a busy machine, also the first, so the most punctual of the first second shows the begin.
    begin = min(at - number / 50 for number, at in enumerate(times[:50]))
    assert 299 / (times[-1] - begin) <= 50 * 1.05
    assert times[-1] - times[0] - starved <= 299 / (50 * 0.95)
    # The calls are ahead of the rate by no more than the catch-up after 0.05 s of idle time, and by the delay of the
    # first call.
    ahead = max(number - 50 * (at - times[0]) for number, at in enumerate(times))
    assert ahead <= 50 * (0.05 + 0.5 + starved)


async def test_foreign_entries_and_bundles_delay_no_greeting(world: World) -> None:
    """Entries of other programs in Redis or RabbitMQ must not stop the greetings."""
    await world.begin()
    node = await world.node()
    await node.logged("node_entered")

    async def queue_is_made() -> bool:
        return bool((await node.get("/health/detailed"))[1]["rabbitmq"]["status"] == "up")  # which reads the queue

    await eventually(queue_is_made)
    async with Redis.from_url(world.redis_url) as redis:
        for stream in ("heyday:due", "heyday:plan"):
            for body in ("rubbish", "", "9" * 30, "-1", "\N{SNOWMAN}"):
                await redis.xadd(stream, {"body": body, "tries": "many"})
            await redis.xadd(stream, {"no": "body"})
    async with await aio_pika.connect(str(world.rabbitmq_url)) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("heyday.delivery", ensure=False)
        for rubbish in (b"rubbish", b"", b"\xff\xfe"):
            await exchange.publish(aio_pika.Message(rubbish), routing_key="heyday.delivery")

    await world.clock.set(await world.wave(200))
    await world.all_are("sent", 200)

    async def put_aside() -> bool:
        return (await node.metric("dead_letters")) >= 3

    await eventually(put_aside)
    assert sorted(await dead_letters(world)) == sorted([b"rubbish", b"", b"\xff\xfe"])
    # The operator's view of the message.
    seen = Counter(line.get("stream", line["event"]) for line in node.lines if "malformed" in line["event"])
    assert seen == {"heyday:due": 6, "heyday:plan": 6, "delivery_malformed": 3}
    levels = {line["event"]: line["level"] for line in node.lines if "malformed" in line["event"]}
    assert levels == {"stream_entry_malformed": "error", "delivery_malformed": "warning"}
    guide = (ROOT / "docs/TROUBLESHOOTING_GUIDE.md").read_text()
    assert all(f"`{event}`" in guide for event in levels)
    assert node.crashes() == []
    async with Redis.from_url(world.redis_url) as redis:

        async def streams_are_empty() -> bool:
            return [await redis.xlen(stream) for stream in ("heyday:due", "heyday:plan")] == [0, 0]

        await eventually(streams_are_empty)
