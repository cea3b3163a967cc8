"""Recovery hands out every range that is open for long, also behind many that cannot be planned."""

from __future__ import annotations

from datetime import timedelta

import pytest

from actors.context import NodeContext
from actors.recovery import RANGE_OPEN_FOR
from service.domain.planning import OccasionDay, PlanRange
from service.ports.names import PLAN
from tests.actors.contexts import NOW
from tests.actors.recoveries import recovery_alone
from tests.fakes.broker import Broker
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.truth import Truth


async def test_ranges_that_cannot_be_planned_hide_no_other(
    context: NodeContext, truth: Truth, memory: RedisMemory, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges of an occasion that is left out stay open. A pass that takes the oldest ranges would take only these."""
    monkeypatch.setattr("actors.recovery.RANGES_PER_PASS", 2)
    announced_at = truth.real_now() - timedelta(seconds=RANGE_OPEN_FOR + 1)
    day = OccasionDay("unreadable", 2027, 314)
    truth.plan_ranges = {
        number: (PlanRange(day, None, None, NOW, NOW + timedelta(days=1)), announced_at) for number in range(1, 6)
    }
    recovery = recovery_alone(context, truth, memory, broker)
    await recovery.stage.start()

    for _ in range(4):
        await recovery.run()
    handed_out = [int(entry.body) for entry in memory.streams[PLAN].entries.values()]
    await recovery.stage.drain(5)

    assert sorted(set(handed_out)) == [1, 2, 3, 4, 5]
