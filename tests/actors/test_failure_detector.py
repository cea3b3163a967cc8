"""The failure detector releases the claims of ended nodes soon, and looks for them seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from unittest.mock import Mock
from uuid import UUID

import pytest

from actors.context import NodeContext
from actors.failure_detector import HEARTBEAT_POLL_INTERVAL, RELEASE_INTERVAL, FailureDetector
from actors.runtime import Context
from service.domain.messages import Status
from service.node.lease import DEATH_TIMEOUT
from service.ports import Moved, Unavailable
from tests.actors.contexts import INCARNATION, only_service
from tests.actors.due import due_messages
from tests.fakes.messages import FakeMessages
from tests.fakes.nodes import FakeNodes
from tests.fakes.truth import Truth
from tests.service.node.steady import Steady


class CountedMessages(FakeMessages):
    """Counts the looks at the claims of ended nodes; while `away` they fail."""

    looks = 0
    away = False
    lasts = 0.0
    """Seconds that a look takes."""
    pauses: Callable[[float], Awaitable[None]]

    async def release_claims(
        self, stuck: Collection[tuple[UUID, int]] = (), *, hold: bool, hold_fallback: bool | None = None
    ) -> list[Moved]:
        self.looks += 1
        await self.pauses(self.lasts)
        if self.away:
            raise Unavailable("postgres", "cut off")
        return await super().release_claims(stuck, hold=hold, hold_fallback=hold_fallback)


class Stage:
    """One node that watches another, which has one message in sending."""

    def __init__(self, context: NodeContext, truth: Truth, steady: Steady) -> None:
        self.truth = truth
        self.messages = CountedMessages(truth)
        self.nodes = FakeNodes(truth)
        self._context = context
        self._steady = steady
        self._detector = FailureDetector(
            context, self.messages, self.nodes, only_service(), on_living=lambda _: None, on_death=lambda: None
        )
        self._detector.ctx = Mock(Context)
        self._detector.ctx.spawn.side_effect = lambda work, name: asyncio.create_task(work, name=name)
        self.messages.pauses = self._pause
        self._passed = asyncio.Event()

    async def enter(self) -> int:
        """Let a node enter, and claim a message for sending; return its incarnation."""
        incarnation = await self.nodes.enter("other")
        await self.claim(incarnation)
        return incarnation

    async def claim(self, incarnation: int) -> None:
        """Let that node claim a message for sending."""
        row = due_messages(self.truth, 1)[-1]
        self.truth.move(row, status=Status.SENDING, attempt=1, claimed_by=incarnation, claimed_at=self.truth.now())

    def outages(self) -> list[str]:
        """The servers that are known to be away."""
        return [one.system for one in self._context.outages.current()]

    @property
    def claimed(self) -> int:
        """The number of messages in sending."""
        return len(list(self.truth.in_state(Status.SENDING)))

    async def watch(self, seconds: float) -> None:
        """Look at the others for so long."""
        until = self._steady.at + seconds
        while self._steady.at < until:
            self._context.lease.renew(INCARNATION, self._steady.at)
            await self._detector.run_once()
            await self._settle()
            self._steady.passes(HEARTBEAT_POLL_INTERVAL)
            self._passed.set()

    async def _pause(self, seconds: float) -> None:
        until = self._steady.at + seconds
        while self._steady.at < until:
            self._passed.clear()
            await self._passed.wait()

    async def _settle(self) -> None:
        """Let what the detector began go on, until it has ended or waits for time to pass."""
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
def stage(context: NodeContext, truth: Truth, steady: Steady) -> Stage:
    """The node and the other."""
    return Stage(context, truth, steady)


async def test_claims_of_a_dead_node_are_released_with_its_end(stage: Stage) -> None:
    """Its users wait for that."""
    await stage.enter()

    await stage.watch(DEATH_TIMEOUT)
    before = stage.claimed
    await stage.watch(HEARTBEAT_POLL_INTERVAL)

    assert (before, stage.claimed) == (1, 0)


async def test_claims_of_a_node_that_left_are_released_at_the_next_look(stage: Stage) -> None:
    """Another node may have ended it, or it may have ended itself."""
    incarnation = await stage.enter()
    await stage.watch(HEARTBEAT_POLL_INTERVAL)

    await stage.nodes.leave(incarnation)
    await stage.watch(HEARTBEAT_POLL_INTERVAL)

    assert stage.claimed == 0


async def test_a_release_that_failed_is_made_at_the_next_look(stage: Stage) -> None:
    """The database may be away for a moment just then."""
    incarnation = await stage.enter()
    await stage.nodes.leave(incarnation)
    stage.messages.away = True
    await stage.watch(HEARTBEAT_POLL_INTERVAL)
    assert stage.outages() == ["postgres"]

    stage.messages.away = False
    await stage.watch(HEARTBEAT_POLL_INTERVAL)

    assert stage.claimed == 0
    assert stage.outages() == []


@pytest.mark.parametrize("away", [False, True])
async def test_a_death_is_noticed_while_releases_take_long(stage: Stage, away: bool) -> None:
    """While a session holds a snapshot, a release reads past every message that left, and may end at its deadline."""
    stage.messages.lasts, stage.messages.away = 4.0, away
    incarnation = await stage.enter()

    await stage.watch(DEATH_TIMEOUT + HEARTBEAT_POLL_INTERVAL)

    assert incarnation not in {beat.incarnation for beat in await stage.nodes.living()}


async def test_a_claim_that_was_committed_after_the_end_of_its_node_is_released_soon(stage: Stage) -> None:
    """Its statement may have waited in the network meanwhile."""
    incarnation = await stage.enter()
    await stage.nodes.leave(incarnation)
    await stage.watch(HEARTBEAT_POLL_INTERVAL)

    await stage.claim(incarnation)
    await stage.watch(RELEASE_INTERVAL + HEARTBEAT_POLL_INTERVAL)

    assert stage.claimed == 0


async def test_while_the_nodes_are_the_same_it_looks_seldom(stage: Stage) -> None:
    """A look reads past every message that left while a session holds a snapshot."""
    await stage.watch(60)

    assert stage.messages.looks == 60 / RELEASE_INTERVAL
