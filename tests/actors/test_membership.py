"""The entry of a node into the cluster while PostgreSQL answers now and then."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from actors.context import NodeContext
from actors.membership import Membership
from service.ports import NodeBeat, NodeName, Unavailable
from tests.fakes.nodes import FakeNodes
from tests.fakes.truth import Truth


class UnseenNodes(FakeNodes):
    """The list of nodes cannot be read the first time."""

    asked = 0

    async def living(self) -> list[NodeBeat]:
        self.asked += 1
        if self.asked == 1:
            raise Unavailable("postgres", "every connection is in use")
        return await super().living()


@pytest.fixture
def nodes(truth: Truth) -> UnseenNodes:
    return UnseenNodes(truth)


@pytest.fixture
def membership(context: NodeContext, nodes: UnseenNodes) -> Membership:
    async def admitted() -> bool:
        return True

    async def recognised() -> None:
        pass

    return Membership(context, nodes, name=NodeName("web-1"), admission=admitted, recognise=recognised)


async def test_a_node_does_not_take_its_own_entry_for_another_nodes(membership: Membership, nodes: UnseenNodes) -> None:
    """It took another name, and said that two nodes shared one. Nine seconds later a node that never was had died."""
    with pytest.raises(Unavailable):
        await membership.run_once()
    with capture_logs() as lines:
        await membership.run_once()

    assert [line["event"] for line in lines] == ["node_entered"]
    assert [one.node for one in await nodes.living()] == ["web-1"]


async def test_an_entry_that_others_ended_meanwhile_is_made_anew(
    membership: Membership, nodes: UnseenNodes, context: NodeContext
) -> None:
    """It was not seen to live."""
    with pytest.raises(Unavailable):
        await membership.run_once()
    [first] = await nodes.living()
    await nodes.end(first)

    await membership.run_once()

    [second] = await nodes.living()
    assert second.incarnation != first.incarnation
    assert context.lease.holds(second.incarnation)


async def test_a_node_that_stops_during_its_entry_leaves(membership: Membership, nodes: UnseenNodes) -> None:
    """Other nodes need not wait until it counts as dead."""
    with pytest.raises(Unavailable):
        await membership.run_once()

    await membership.stop()

    assert await nodes.living() == []
