"""Recovery alone, on stores in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from actors.context import NodeContext
from actors.periodic import Tick
from actors.recovery import DeadLetter, NodeDied, RebuildQueues, Recovery, RunRecovery
from actors.runtime import Address, Supervisor
from service.node.email_services import EmailServices
from service.ports.names import DUE, PLAN
from tests.actors.contexts import alone, only_service
from tests.fakes.broker import Broker
from tests.fakes.delivery_queue import FakeDeliveryQueue
from tests.fakes.messages import FakeMessages
from tests.fakes.nodes import FakeNodes
from tests.fakes.planning import FakePlanning
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.streams import FakeWorkStream
from tests.fakes.truth import Truth


class NoKeptAnswers:
    """Stores no responses, because the tests make no API request."""

    async def forget_expired(self) -> int:
        return 0


@dataclass
class RecoveryAlone:
    """Recovery under a supervisor, with the streams of its node."""

    stage: Supervisor
    address: Address[RunRecovery | RebuildQueues | DeadLetter | NodeDied | Tick]
    streams: dict[str, FakeWorkStream]

    async def run(self) -> dict[str, int]:
        """Have it do a pass, and return what it moved."""
        return await self.address.ask(RunRecovery, within=10)


def recovery_alone(
    context: NodeContext,
    truth: Truth,
    memory: RedisMemory,
    broker: Broker,
    *,
    email_timeout: float = 1.0,
    services: EmailServices | None = None,
) -> RecoveryAlone:
    """Make it; the test starts and drains its stage. No cron job is due, and without `services` one accepts all."""
    address: Address[RunRecovery | RebuildQueues | DeadLetter | NodeDied | Tick] = Address("recovery", capacity=4)
    streams = {name: FakeWorkStream(memory, name, consumer="node") for name in (PLAN, DUE)}
    stage = alone(
        lambda: Recovery(
            context,
            FakeMessages(truth),
            FakeNodes(truth),
            FakePlanning(truth),
            streams,
            FakeDeliveryQueue(broker, prefetch=1),
            NoKeptAnswers(),
            services or only_service(),
            email_timeout=timedelta(seconds=email_timeout),
            cron="0 0 1 1 *",
        ),
        address,
    )
    return RecoveryAlone(stage, address, streams)
