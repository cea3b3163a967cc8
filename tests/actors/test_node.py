"""The composition root connects the actors."""

from __future__ import annotations

import pytest

from actors.node import Node
from service.node.clock import Jump
from service.settings import Secret, Settings


@pytest.mark.parametrize(("jump", "held"), [(Jump(30, 30), False), (Jump(30, 0), True), (Jump(-30, -30), True)])
async def test_a_machine_that_stood_still_ends_its_lease(jump: Jump, held: bool) -> None:
    """The clocks of a paused guest stand still, also that of the lease, and other nodes may have ended its incarnation.

    A business clock that is set, as in a rehearsal, and a server with an earlier clock end no lease.
    """
    node = Node(Settings(Secret("postgresql://h/d"), Secret("redis://h"), Secret("http://h")))
    lease = node.context.lease
    lease.renew(7, lease.now())

    node._clock_jumped(jump)

    assert lease.held is held
