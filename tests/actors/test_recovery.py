"""A pass of recovery that meets an outage is done again when the outage ends."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from actors.context import NodeContext
from actors.recovery import NodeDied
from service.ports import Unavailable
from tests.actors.recoveries import recovery_alone
from tests.fakes.broker import Broker
from tests.fakes.messages import FakeMessages
from tests.fakes.redis_memory import RedisMemory
from tests.fakes.truth import Truth
from tests.fakes.waiting import Bell


async def test_a_pass_that_an_outage_breaks_off_is_done_again(
    context: NodeContext, truth: Truth, memory: RedisMemory, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nothing else makes a pass due. A pass that asks no server would be taken for the end of the outage."""
    recovery = recovery_alone(context, truth, memory, broker)
    away, asked, asks = False, Bell(), 0

    async def awaiting_dead_letter(_messages: FakeMessages) -> list[UUID]:
        nonlocal asks
        asks += 1
        asked.ring()
        if away:
            raise Unavailable("postgres", "away")
        return []

    async def asked_again(times: int) -> None:
        until = asyncio.get_running_loop().time() + 20
        before = asks
        while asks < before + times:
            assert await asked.heard(until=until), "the pass was not done again"

    monkeypatch.setattr(FakeMessages, "awaiting_dead_letter", awaiting_dead_letter)
    await recovery.stage.start()
    await recovery.run()  # the pass of a start is done, and the next is due in a while

    away = True
    await recovery.address.tell(NodeDied())
    await asked_again(3)
    waits_for = [outage.system for outage in context.outages.current()]
    away = False
    await asked_again(1)
    await recovery.run()
    still = context.outages.current()
    await recovery.stage.drain(5)

    assert waits_for == ["postgres"]
    assert still == []
