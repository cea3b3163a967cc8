"""The rows of nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class NodeBeat:
    """The incarnation of a node, its id, and the count of its heartbeats."""

    incarnation: int
    node: str
    heartbeat: int


class NodeName:
    """The name of a running node, for its row, consumers and logs: its id, unless another living node has that.

    Use its text when you need the name, because membership may change it when the node enters. `on_change` gets the
    new name, for places that keep a text.
    """

    def __init__(self, node_id: str, on_change: Callable[[str], None] = lambda _name: None) -> None:
        self._node_id = self._name = node_id
        self._on_change = on_change

    def __str__(self) -> str:
        return self._name

    def add_incarnation(self, incarnation: int) -> None:
        """Make the name different from that of another node with the same id."""
        self._name = f"{self._node_id}.{incarnation}"
        self._on_change(self._name)


class Nodes(Protocol):
    """The rows of nodes. Every method raises Unavailable."""

    async def enter(self, node: str) -> int:
        """Begin an incarnation and return its number, under which this start of the node claims."""

    async def beat(self, incarnation: int) -> bool:
        """Send a heartbeat. False if others have ended the incarnation."""

    async def living(self) -> list[NodeBeat]:
        """The incarnations that have not ended, by their rows."""

    async def end(self, beat: NodeBeat) -> bool:
        """End an incarnation whose heartbeat count is still the one seen.

        False if it moved, or if another node was first.
        """

    async def leave(self, incarnation: int) -> None:
        """End our own incarnation."""
