"""A claim that a living node has lost: when recovery releases it, and how long `heyday chaos` waits for that."""

from __future__ import annotations

from datetime import timedelta

import pytest

from actors.commands.chaos.rehearsal import stalled_after
from actors.context import NodeContext
from actors.recovery import (
    PASS_INTERVAL,
    lost_claim_is_freed_within,
)
from service.domain.messages import Status
from service.settings import read
from tests.actors.contexts import NOW
from tests.actors.due import due_messages
from tests.actors.recoveries import recovery_alone
from tests.fakes.broker import Broker
from tests.fakes.nodes import FakeNodes
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.rows import MessageRow
from tests.fakes.truth import Truth
from tests.service.node.steady import Steady


def sending(truth: Truth, incarnation: int) -> MessageRow:
    """A message that this incarnation has just claimed."""
    [row] = due_messages(truth, 1)
    return truth.move(row, status=Status.SENDING, attempt=1, claimed_by=incarnation, claimed_at=truth.now())


@pytest.mark.parametrize("timeout", [1, 5, 10, 30, 120])
async def test_a_lost_claim_is_freed_in_time_and_a_rehearsal_waits_longer(
    context: NodeContext, steady: Steady, memory: RedisMemory, broker: Broker, timeout: int
) -> None:
    """The age of the row and the steady clock must both agree, which takes twice as long as the row's age alone.

    A rehearsal that gave up earlier would report a message as lost before recovery sends it.
    """
    began = steady.at
    truth = Truth(now=lambda: NOW + timedelta(seconds=steady.at - began))
    incarnation = await FakeNodes(truth).enter("node")
    row = sending(truth, incarnation)
    recovery = recovery_alone(context, truth, memory, broker, email_timeout=timeout)
    await recovery.stage.start()

    while truth.messages[row.id].status is Status.SENDING:
        await recovery.run()
        steady.passes(PASS_INTERVAL)
    took = steady.at - began
    await recovery.stage.drain(5)

    assert truth.messages[row.id].status is Status.RETRYING
    assert 2 * (3 * timeout + 60) <= took <= lost_claim_is_freed_within(timedelta(seconds=timeout)) + PASS_INTERVAL
    environment = {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h", "EMAIL_URL": "http://h"}
    settings = read({f"HEYDAY_{name}": value for name, value in environment.items()} | {
        "HEYDAY_EMAIL_TIMEOUT": f"{timeout}s", "HEYDAY_EMAIL_BACKOFF_LIMIT": "5s",
        "HEYDAY_DRAIN_WITHIN": f"{timeout}s",
    })  # fmt: skip
    assert stalled_after(settings) > took + 5
