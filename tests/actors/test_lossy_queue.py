"""A delivery queue that confirms messages and loses them: recovery takes them back, and says so when it goes on."""

from __future__ import annotations

from datetime import timedelta

from structlog.testing import capture_logs

from actors.context import NodeContext
from actors.periodic import Tick
from actors.recovery import QUEUED_FOR, DeadLetter, NodeDied, RebuildQueues, Recovery, RunRecovery
from actors.runtime import Address
from service.domain.messages import Status
from service.ports.names import DUE, PLAN
from tests.actors.contexts import NOW, alone, only_service
from tests.actors.due import due_messages
from tests.actors.test_lost_claims import NoKeptAnswers
from tests.fakes.broker import Broker
from tests.fakes.delivery_queue import FakeDeliveryQueue
from tests.fakes.messages import FakeMessages
from tests.fakes.nodes import FakeNodes
from tests.fakes.planning import FakePlanning
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.streams import FakeWorkStream
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
    address: Address[RunRecovery | RebuildQueues | DeadLetter | NodeDied | Tick] = Address("recovery", capacity=4)
    recovery = alone(
        lambda: Recovery(
            context,
            FakeMessages(truth),
            FakeNodes(truth),
            FakePlanning(truth),
            {name: FakeWorkStream(memory, name, consumer="node") for name in (PLAN, DUE)},
            FakeDeliveryQueue(broker, prefetch=1),
            NoKeptAnswers(),
            only_service(),
            email_timeout=timedelta(seconds=1),
            cron="0 0 1 1 *",
        ),
        address,
    )
    await recovery.start()

    async def losses() -> list[int]:
        """Let a message be queued, lost, and taken back; the messages of each log line about it."""
        truth.move(truth.messages[row.id], status=Status.QUEUED, queued_at=truth.now(), queued_by=incarnation)
        steady.passes(QUEUED_FOR.total_seconds() + 1)
        with capture_logs() as logs:
            await address.ask(RunRecovery, within=10)
        assert truth.messages[row.id].status is Status.SCHEDULED
        return [line["messages"] for line in logs if line["event"] == "delivery_queue_losing"]

    assert await losses() == []
    assert await losses() == [1]
    assert await losses() == [1]
    steady.passes(1200)
    assert await losses() == []
    assert context.metrics.queue_lost._value.get() == 4
    await recovery.drain(5)
