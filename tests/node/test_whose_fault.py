"""Only an answer about one message may end that message: outages, throttles and wrong keys end none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import asyncpg

from actors.commands.sandbox.servers.relay import relayed
from tests.node.harness import NOON, NodeProcess, World, eventually

GATE = 7
"""The key of the advisory lock at which claims wait."""

FEW: dict[str, Any] = {"EMAIL_ATTEMPTS": "3", "CIRCUIT_FAILURES": "5"}
"""Settings under which messages would fail soon, if an outage spent their attempts."""


async def hand_out_what_is_due(world: World) -> None:
    """Run the minute job on every node, so that retries do not wait for the ticker's next look, a second later."""
    for node in world.nodes:
        await node.call("POST", "/api/v1/jobs/minute:run")


async def attempts_made(world: World) -> int:
    """The number of recorded attempts."""
    return int(await world.value("select count(*) from attempts"))


async def test_an_outage_longer_than_all_attempts_fails_no_message(world: World) -> None:
    """The service answers 503 for as long as each message takes for ten attempts. Every trial of the circuit is one."""
    world.stub.change(world.stub.options.changed({"down": True}))
    await world.begin()
    nodes = [await world.node(**FEW, CIRCUIT_RESET="50ms", EMAIL_TIMEOUT="20s") for _ in range(2)]
    await world.clock.set(await world.wave(2))

    async def refusing() -> list[float]:
        return [await node.metric('email_service_state{reason="refusing"}') for node in nodes]

    async def tried_for_long_by_both() -> bool:
        await hand_out_what_is_due(world)
        return await attempts_made(world) >= 20 and await refusing() == [1, 1]

    await eventually(tried_for_long_by_both)
    world.stub.change(world.stub.options.changed({"down": False}))

    await world.all_are("sent", 2)
    # A node without other messages is still half open.
    assert 0 in await refusing()
    # Only the attempt that was accepted is spent.
    assert await world.value("select max(attempts_spent) from messages") == 1
    await world.assert_nobody_was_greeted_twice()


async def test_one_greeting_waits_for_a_service_whose_circuit_stays_closed(world: World) -> None:
    """Few failures do not open the circuit, but they are still an outage."""
    world.stub.change(world.stub.options.changed({"down": True}))
    await world.begin()
    await world.node(EMAIL_ATTEMPTS="2", CIRCUIT_FAILURES="1000", EMAIL_TIMEOUT="20s")
    await world.clock.set(await world.wave(1))

    async def tried_for_long() -> bool:
        await hand_out_what_is_due(world)
        return await attempts_made(world) >= 8

    await eventually(tried_for_long)
    world.stub.change(world.stub.options.changed({"down": False}))

    await world.all_are("sent", 1)


async def test_a_wrong_key_fails_no_message_and_is_named(world: World) -> None:
    """401 for every message: the circuit opens after a few calls with its reason, and the others wait."""
    world.stub.change(world.stub.options.changed({"status": 401}))
    await world.begin()
    node = await world.node(CIRCUIT_RESET="2s")
    await world.clock.set(await world.wave(500))

    opened = await node.logged("circuit_opened")
    assert opened["reason"] == "not authorised"
    assert await node.metric('email_service_state{reason="not authorised"}') == 1
    _, health = await node.get("/health/detailed")
    assert health["email"]["reason"] == "not authorised"
    assert await world.value("select count(*) from messages where status = 'failed'") == 0
    assert world.stub.ledger.requests < 200

    async def given_back_with_the_reason() -> bool:
        reasons = await world.fetch("select distinct status_reason as said from messages where status = 'retrying'")
        return "not attempted: the circuit of the email service is open (not authorised)" in {
            one["said"] for one in reasons
        }

    await eventually(given_back_with_the_reason)
    world.stub.change(world.stub.options.changed({"status": 0}))

    await world.all_are("sent", 500)


async def test_a_refusal_of_every_message_fails_a_few_and_opens_the_circuit(world: World) -> None:
    """A mistake in a text is answered 400 for every message; when it is corrected, all others are sent."""
    world.stub.change(world.stub.options.changed({"status": 400}))
    await world.begin()
    node = await world.node(CIRCUIT_FAILURES="5", CIRCUIT_RESET="50ms", EMAIL_CONCURRENCY="20", EMAIL_TIMEOUT="20s")
    await world.clock.set(await world.wave(100))

    assert (await node.logged("circuit_opened"))["reason"] == "refusing"

    async def several_trials() -> bool:
        await hand_out_what_is_due(world)
        # Ten more than are called before the circuit can open.
        return world.stub.ledger.requests >= 30

    await eventually(several_trials)
    world.stub.change(world.stub.options.changed({"status": 0}))

    async def settled() -> bool:
        return set(await world.counts()) <= {"sent", "failed"}

    await eventually(settled)
    counts = await world.counts()
    assert (counts["failed"], counts["sent"]) == (5, 95)
    reasons = await world.fetch("select distinct status_reason from messages where status = 'failed'")
    assert [row["status_reason"] for row in reasons] == ["400 Bad Request: as configured"]


async def test_a_throttle_slows_all_nodes_down_and_fails_no_message(world: World) -> None:
    """A service that accepts 100 calls a second gets fewer useless calls than half of the greetings.

    Those of the first moment are not counted: how many there are until the nodes know is decided by the machine. No
    message is called twice in it.
    """
    world.stub.change(world.stub.options.changed({"rate": 100, "retryAfter": 1}))
    await world.begin()
    nodes = [await world.node(**FEW, EMAIL_TIMEOUT="10s") for _ in range(2)]
    await world.clock.set(await world.wave(1_000))

    async def slow() -> bool:
        return all([await node.metric("email_rate_limit_per_second") < 400 for node in nodes])

    await eventually(slow)
    at_first = world.stub.ledger.throttled
    await world.accepted(500, within=120)
    rates = [await node.metric("email_rate_limit_per_second") for node in nodes]
    # Nine tenths of the accepted rate, or more after growth. A pause is 0.
    assert all(rate < 400 for rate in rates), rates

    await world.all_are("sent", 1_000, within=180)

    assert at_first <= 1_000
    assert world.stub.ledger.throttled - at_first < 500
    # Only the attempt that was accepted is spent.
    assert await world.value("select max(attempts_spent) from messages") == 1
    await world.assert_nobody_was_greeted_twice()


async def test_a_message_that_alone_is_not_taken_spends_its_attempts(world: World) -> None:
    """It is not called for two days while all others are accepted. Its final reason quotes the service."""
    await world.begin()
    await world.node(EMAIL_ATTEMPTS="3", EMAIL_BACKOFF="300ms", EMAIL_TIMEOUT="20s")
    due = await world.wave(50)
    address = await world.value("select email from users order by id limit 1")
    world.stub.change(world.stub.options.changed({"failFor": address}))
    await world.clock.set(due)

    async def failed_among_others() -> bool:
        # An attempt is spent only when others were accepted since the one before it.
        await world.wave(5)
        await hand_out_what_is_due(world)
        return await world.has("failed", 1)

    await eventually(failed_among_others, every=0.1)
    (failed,) = await world.fetch("select attempts_spent, status_reason from messages where status = 'failed'")
    assert tuple(failed) == (3, "500 Internal Server Error: as configured for this address")


async def test_a_claim_whose_answer_was_lost_is_no_unknown_outcome(world: World) -> None:
    """With `hold`, each of these messages would wait for an operator although nothing was sent."""
    world.stub.change(world.stub.options.changed({"latency": 0.01}))
    await world.begin()
    for zone in ("Etc/GMT+1", "Etc/GMT+2"):  # an hour and two hours later
        await world.users(400, (NOON + timedelta(days=1)).date(), timezone=zone)
    async with relayed(world.dsn) as relay:
        await world.node(DATABASE_URL=relay.url, UNKNOWN_OUTCOME="hold", EMAIL_RATE="300/s", EMAIL_TIMEOUT="20s")
        due = await world.wave(400)
        await world.planned(1_200)
        for fault in range(3):
            async with claims_wait(world):
                await world.clock.set(due + timedelta(hours=fault))
                waiting = await eventually(lambda: waiting_claims(world))
                relay.swallow_answers()
            await eventually(partial(have_ended, world, waiting))
            assert (await world.counts())["sending"] > 0
            relay.cut()
            relay.mend()
        await world.all_are("sent", 1_200)

    assert len(world.acceptances()) == 1_200
    assert await world.value("select count(*) from attempts where outcome = 'unknown'") == 0


@asynccontextmanager
async def claims_wait(world: World) -> AsyncIterator[None]:
    """Let every claim wait within its statement during the block. With a lock of a table, it would not even begin."""
    await world.fetch(
        f"""
        create or replace function wait_at_gate() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock_shared({GATE}); return new; end $$
        """
    )
    await world.fetch(
        """
        create or replace trigger gate before update on messages for each row when (new.status = 'sending')
        execute function wait_at_gate()
        """
    )
    connection = await asyncpg.connect(world.dsn)
    try:
        await connection.execute(f"select pg_advisory_lock({GATE})")
        yield
    finally:
        await connection.close()


async def waiting_claims(world: World) -> list[int]:
    """The process ids of the sessions whose claim waits at the gate."""
    query = "select pid from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"
    return [row["pid"] for row in await world.fetch(f"{query} and query like '-- claim_for_sending%'")]


async def have_ended(world: World, sessions: list[int]) -> bool:
    """True if none of these sessions works on a statement."""
    query = "select not exists (select from pg_stat_activity where pid = any($1) and state = 'active')"
    return bool(await world.value(query, sessions))


async def test_what_may_have_been_sent_is_not_sent_again_after_its_key_is_forgotten(world: World) -> None:
    """An edit moves the greeting by 90 days. By then the service treats the same key as new."""
    world.stub.change(world.stub.options.changed({"acceptThenFailRate": 1.0}))
    await world.begin()
    node = await world.node(EMAIL_BACKOFF="1h", EMAIL_BACKOFF_LIMIT="1h", CIRCUIT_FAILURES="1000")
    due = await world.wave(1)
    await world.clock.set(due)
    await world.accepted(1)

    async def is_retrying() -> bool:
        return await world.counts() == {"retrying": 1}

    await eventually(is_retrying)
    await set_birthday(world, node, due + timedelta(days=90))
    assert await world.counts() == {"scheduled": 1}
    world.stub.change(world.stub.options.changed({"acceptThenFailRate": 0.0}))
    await world.clock.set(due + timedelta(days=90))

    await world.all_are("unknown", 1)
    assert len(world.acceptances()) == 1


async def set_birthday(world: World, node: NodeProcess, day: datetime) -> None:
    """Change the birthday of the only user."""
    user = await world.value("select id from users")
    status, answer = await node.call("PATCH", f"/api/v1/users/{user}", json={"birthdayDate": f"1992-{day:%m-%d}"})
    assert status == 200, answer
