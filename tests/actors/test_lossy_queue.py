"""A delivery queue that confirms messages and loses them: recovery takes them back, and says so when it goes on."""

from __future__ import annotations

from datetime import timedelta

from structlog.testing import capture_logs

from actors.context import NodeContext
from actors.recovery import QUEUED_FOR
from service.domain.messages import Status
from tests.actors.contexts import NOW
from tests.actors.due import due_messages
from tests.actors.recoveries import recovery_alone
from tests.fakes.broker import Broker
from tests.fakes.nodes import FakeNodes
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.truth import Truth
from tests.service.node.steady import Steady


async def test_a_queue_that_loses_messages_again_and_again_is_named(
    context: NodeContext, steady: Steady, memory: RedisMemory, broker: Broker
) -> None:
    """One loss is a queue that was purged. When what was queued again is lost too, a person must change the queue."""
    began = steady.at
    truth = Truth(now=lambda: NOW + timedelta(seconds=steady.at - began))
    incarnation = await FakeNodes(truth).enter("node")
    [row] = due_messages(truth, 1)
    recovery = recovery_alone(context, truth, memory, broker)
    await recovery.stage.start()

    async def losses() -> list[int]:
        """Let a message be queued, lost, and taken back; the messages of each log line about it."""
        truth.move(truth.messages[row.id], status=Status.QUEUED, queued_at=truth.now(), queued_by=incarnation)
        steady.passes(QUEUED_FOR.total_seconds() + 1)
        with capture_logs() as logs:
            await recovery.run()
        assert truth.messages[row.id].status is Status.SCHEDULED
        return [line["messages"] for line in logs if line["event"] == "delivery_queue_losing"]

    assert await losses() == []
    assert await losses() == [1]
    assert await losses() == [1]
    steady.passes(1200)
    assert await losses() == []
    assert context.metrics.queue_lost._value.get() == 4
    await recovery.stage.drain(5)
