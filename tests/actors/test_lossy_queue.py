"""A delivery queue that confirms messages and loses them: recovery takes them back, and says so when it goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from structlog.testing import capture_logs

from actors.context import NodeContext
from actors.recovery import QUEUED_FOR
from service.domain.messages import Status
from tests.actors.contexts import NOW, only_service
from tests.actors.due import due_messages
from tests.actors.recoveries import recovery_alone
from tests.fakes.broker import Broker
from tests.fakes.coordination import FakeRateLimit
from tests.fakes.nodes import FakeNodes
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.rows import MessageRow
from tests.fakes.truth import Truth
from tests.service.node.steady import Steady


async def one_message(steady: Steady) -> tuple[Truth, Callable[[], MessageRow]]:
    """A store with one due message, and what puts it into the delivery queue. Its clock goes with `steady`."""
    began = steady.at
    truth = Truth(now=lambda: NOW + timedelta(seconds=steady.at - began))
    incarnation = await FakeNodes(truth).enter("node")
    [due] = due_messages(truth, 1)

    def queue() -> MessageRow:
        return truth.move(truth.messages[due.id], status=Status.QUEUED, queued_at=truth.now(), queued_by=incarnation)

    return truth, queue


async def test_a_queue_that_loses_messages_again_and_again_is_named(
    context: NodeContext, steady: Steady, memory: RedisMemory, broker: Broker
) -> None:
    """One loss is a queue that was purged. When what was queued again is lost too, a person must change the queue."""
    truth, queue = await one_message(steady)
    recovery = recovery_alone(context, truth, memory, broker)
    await recovery.stage.start()

    async def losses() -> list[int]:
        """Let a message be queued, lost, and taken back; the messages of each log line about it."""
        row = queue()
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


async def test_messages_that_wait_because_the_service_asks_for_a_pause_are_not_lost(
    context: NodeContext, steady: Steady, memory: RedisMemory, broker: Broker
) -> None:
    """The log and the alert named the delivery queue, and told the operator to do without it."""
    began = steady.at
    truth, queue = await one_message(steady)
    row = queue()
    rate = FakeRateLimit(RedisMemory(monotonic=lambda: steady.at), None)
    await rate.throttled(timedelta(hours=1))
    recovery = recovery_alone(context, truth, memory, broker, services=only_service(rate=rate))
    await recovery.stage.start()

    statuses = []
    while (waited := steady.at - began) < 3600 + 2 * QUEUED_FOR.total_seconds():
        await recovery.run()
        statuses.append((waited, truth.messages[row.id].status))
        steady.passes(15)
    await recovery.stage.drain(5)

    taken_back = next(at for at, status in statuses if status is Status.SCHEDULED)
    assert 3600 + QUEUED_FOR.total_seconds() - 15 <= taken_back <= 3600 + QUEUED_FOR.total_seconds() + 15
    assert context.metrics.queue_lost._value.get() == 1  # that it is gone then is a loss
