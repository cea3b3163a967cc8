"""A wave at a low HEYDAY_EMAIL_RATE on virtual time: a message that waits for its turn is not taken for lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

from service.domain.messages import Status
from service.domain.users import Profile, email_key
from tests.fakes.rows import UserRow
from tests.simulation.loop import VirtualLoop
from tests.simulation.world import SimulatedNode, World

PEOPLE = 400
PER_SECOND = 4
BEGIN = datetime(2027, 3, 14, 8, 59, 50, tzinfo=UTC)


def put_people(world: World) -> None:
    """So many whose 09:00 is in ten seconds."""
    for number in range(PEOPLE):
        profile = Profile("Ada", str(number), f"{number}@a.test", "UTC", {"birthday": BEGIN.date().replace(year=1992)})
        then = BEGIN - timedelta(days=30)
        world.truth.put_user(
            UserRow(
                id=world.truth.new_user_id(),
                profile=profile,
                email_key=email_key(profile.email),
                version=1,
                created_at=then,
                updated_at=then,
            )
        )


def test_those_who_wait_for_their_turn_are_not_taken_back_and_the_rate_is_kept() -> None:
    """They were: handed out again beside the bundles that they were in, whose turns were reserved all the same, so that
    less was sent than might have been, and the queue grew."""
    loop = VirtualLoop()
    accepted_at: list[float] = []
    queued: list[int] = []

    def tell(event: str, **_: object) -> None:
        if event == "accepted":
            accepted_at.append(loop.time())

    world = World(loop, Random(1), begin=BEGIN, rate=1.0, settings={"EMAIL_RATE": str(PER_SECOND)}, tell=tell)
    put_people(world)
    world.nodes.append(SimulatedNode(world, "node-1"))

    async def wave() -> None:
        world.nodes[0].start()
        while world.post.accepted.total() < PEOPLE and len(queued) < 2 * PEOPLE / PER_SECOND:
            await asyncio.sleep(1.0)
            queued.append(len(list(world.truth.in_state(Status.QUEUED))))

    try:
        loop.run_until_complete(loop.create_task(wave(), name="wave"))
    finally:
        world.over = True
        loop.dead_letter()
        loop.close()

    assert [row.id for row in world.truth.messages.values() if "taken back" in (row.status_reason or "")] == []
    assert max(queued) <= 30 * PER_SECOND
    took = accepted_at[-1] - accepted_at[0]
    assert len(accepted_at) == PEOPLE
    assert 0.9 * PEOPLE / PER_SECOND < took < 1.1 * PEOPLE / PER_SECOND
