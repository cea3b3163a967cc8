"""The pictures of docs/ARCHITECTURE_OVERVIEW.md match the code: every move of a message, every actor of a node."""

from __future__ import annotations

import re
from typing import Any

from service.domain.messages import MOVES
from tests.docs.test_documents import text_of
from tests.node.harness import World

PAGE = "docs/ARCHITECTURE_OVERVIEW.md"


def picture(heading: str) -> str:
    found = re.search(rf"^## {heading}\n\n```mermaid\n(.*?)^```$", text_of(PAGE), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_states_are_drawn_with_every_move_and_no_other() -> None:
    """Operators use the picture to reason about outages."""
    drawn = re.findall(r"^    (\w+) --> (\w+):", picture("Message states"), re.MULTILINE)

    assert sorted(drawn) == sorted((str(one), str(other)) for one, others in MOVES.items() for other in others)


async def test_the_tree_is_that_of_a_node(small_world: World) -> None:
    """`/health/detailed` of a running node has the same tree."""
    node = await small_world.node()
    await node.logged("node_entered")
    _, health = await node.get("/health/detailed")

    def branches(actor: dict[str, Any]) -> list[tuple[str, str]]:
        names = [
            (actor["name"], child["name"].replace(" ", "-"))
            for child in actor["children"]
            if actor["name"] != "senders"
        ]
        return names + [pair for child in actor["children"] for pair in branches(child)]

    drawn = re.findall(r"^    ([\w-]+) --> ([\w-]+)", picture("The supervision tree of a node"), re.MULTILINE)
    assert sorted(drawn) == sorted(branches(health["actors"]))
