"""After a store was emptied, recovery takes back once what was queued."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from actors.context import NodeContext
from actors.recovery import RebuildQueues
from service.domain.messages import Status
from service.ports import Unavailable
from tests.actors.contexts import NOW
from tests.actors.due import due_messages
from tests.actors.recoveries import recovery_alone
from tests.fakes.broker import Broker
from tests.fakes.delivery_queue import FakeDeliveryQueue
from tests.fakes.nodes import FakeNodes
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.truth import Truth
from tests.node.harness import eventually
from tests.service.node.steady import Steady


async def test_a_later_step_that_fails_does_not_take_everything_back_again(
    context: NodeContext, steady: Steady, memory: RedisMemory, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ took no dead letters, and what was queued was queued again each second, as many copies as seconds."""
    asked = 0

    async def away(_queue: FakeDeliveryQueue, _ids: Sequence[UUID]) -> None:
        nonlocal asked
        asked += 1
        raise Unavailable("rabbitmq", "no connection")

    monkeypatch.setattr(FakeDeliveryQueue, "dead_letter", away)
    truth = Truth(now=lambda: NOW + timedelta(seconds=steady.at))
    incarnation = await FakeNodes(truth).enter("node")
    failed, row = due_messages(truth, 2)
    truth.move(failed, status=Status.FAILED, attempt=1, ended_at=truth.now())
    truth.move(row, status=Status.QUEUED, queued_at=truth.now(), queued_by=incarnation)
    recovery = recovery_alone(context, truth, memory, broker)
    await recovery.stage.start()
    steady.passes(1)

    async def taken_back() -> bool:
        return truth.messages[row.id].status is Status.SCHEDULED

    await recovery.address.tell(RebuildQueues())
    await eventually(taken_back)
    truth.move(truth.messages[row.id], status=Status.QUEUED, queued_at=truth.now(), queued_by=incarnation)
    steady.passes(1)
    before = asked

    async def failed_again() -> bool:
        return asked >= before + 3

    await eventually(failed_again)

    assert truth.messages[row.id].status is Status.QUEUED
    await recovery.stage.drain(5)
