"""A broker that confirms bundles and drops them: no greeting is lost, and metric and doctor say what happens."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from actors.cli import main
from actors.commands.sandbox.servers.relay import relayed
from actors.recovery import QUEUED_FOR
from service.ports.names import RABBITMQ_QUEUE
from tests.node.harness import World, eventually

PEOPLE = 30

PATIENCE = 120.0
"""Seconds for an answer of RabbitMQ to anything but a publish, which the relay confirms at once."""


async def test_what_a_broker_confirms_and_drops_is_taken_back_counted_named_and_sent_once(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """RabbitMQ has lost confirmed bundles (rabbitmq-server#17504). No error reports it; only the rows show it."""
    assert world.rabbitmq_url is not None
    async with relayed(world.rabbitmq_url) as relay:
        await world.begin()
        # On a busy machine the broker may be slow, which would be another outage than the one that must not be there.
        node = await world.node(RABBITMQ_URL=relay.url, rabbitmq_patience=PATIENCE)
        due = await world.wave(PEOPLE)
        relay.swallow_publishes(RABBITMQ_QUEUE.delivery)
        await world.clock.set(due)

        async def dropped() -> bool:
            return relay.swallowed > 0 and (await world.counts())["queued"] == PEOPLE

        await eventually(dropped)
        assert node.lines_of("outage_began", system="rabbitmq") == []
        bundles = relay.swallowed
        await world.clock.set(due + QUEUED_FOR + timedelta(seconds=30))
        status, _ = await node.call("POST", "/api/v1/jobs/recovery:run")  # the node's own pass may be first
        assert status == 202

        async def all_are_counted() -> bool:
            return await node.metric("queue_messages_lost_total") == PEOPLE

        async def dropped_again() -> bool:
            return relay.swallowed > bundles and (await world.counts())["queued"] == PEOPLE

        await eventually(all_are_counted)
        await eventually(dropped_again)
        for name, value in world.environment().items():
            monkeypatch.setenv(name, value)
        await asyncio.to_thread(main, ["doctor"])
        doctor = capsys.readouterr().out
        assert f"{PEOPLE} unsent messages were taken back" in doctor
        assert "unset HEYDAY_RABBITMQ_URL on every node" in doctor
        assert world.stub.ledger.accepted == 0

        relay.mend()
        await world.clock.set(due + 2 * (QUEUED_FOR + timedelta(seconds=30)))
        await node.call("POST", "/api/v1/jobs/recovery:run")
        await world.all_are("sent", PEOPLE)
        await world.assert_nobody_was_greeted_twice()
