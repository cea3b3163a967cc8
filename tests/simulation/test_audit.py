"""The auditor counts the time without an owner from the moment at which the last owner stopped."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from service.domain.messages import Status
from tests.simulation.audit import OWNERLESS_FOR
from tests.simulation.loop import BEGIN as LOOP_BEGIN
from tests.simulation.loop import VirtualLoop
from tests.simulation.test_low_rate import BEGIN, put_people
from tests.simulation.world import World

OWNER = 1
DUE = BEGIN + timedelta(seconds=10)


def reported(resumed_at: float | None, *, seconds: int) -> list[str]:
    """Let a message be claimed by a node that stands still, except for a moment between two looks of the auditor."""
    loop = VirtualLoop()
    world = World(loop, Random(1), begin=BEGIN, rate=1.0, settings={}, tell=lambda *_, **__: None)
    try:
        put_people(world)
        user = next(iter(world.truth.users.values()))
        world.truth.insert_message(user, "birthday", DUE.year, DUE, due_at=DUE, tzdata="2026a")
        world.jump(DUE - BEGIN)
        row = next(world.truth.in_state(Status.SCHEDULED))
        row = world.truth.move(row, status=Status.QUEUED, queued_at=DUE, queued_by=OWNER)
        world.truth.move(row, status=Status.SENDING, claimed_at=DUE, claimed_by=OWNER, attempt=1)
        for second in range(seconds + 1):
            loop._now = LOOP_BEGIN + second
            if resumed_at is not None and second - 1 < resumed_at <= second:
                world.auditor.resumed(OWNER)
            world.auditor.look(watched_since=LOOP_BEGIN)
        return world.violations
    finally:
        world.over = True
        loop.close()


def test_a_claim_without_an_owner_is_reported_after_the_promised_time() -> None:
    """And not before."""
    assert reported(None, seconds=int(OWNERLESS_FOR)) == []
    (violation,) = reported(None, seconds=int(OWNERLESS_FOR) + 1)
    assert "for 16.0 s without an owner" in violation


def test_an_owner_that_goes_on_between_two_looks_is_seen() -> None:
    """A node stood still for 9 s, went on for half a second, and stood still again: no node could take over from it."""
    assert reported(9.5, seconds=int(OWNERLESS_FOR) + 1) == []
    assert reported(9.5, seconds=10 + int(OWNERLESS_FOR) + 1) != []
