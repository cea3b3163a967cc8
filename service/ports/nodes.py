"""The rows of nodes: who lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class NodeBeat:
    """A node's start, its id, and how often its heart has beaten since."""

    incarnation: int
    node: str
    beat: int


class Nodes(Protocol):
    """The rows of nodes. Every method raises Unavailable."""

    async def enter(self, node: str) -> int:
        """Begin an incarnation and return its number, under which this start of the node claims."""

    async def beat(self, incarnation: int) -> bool:
        """Say that it lives; False when others have ended it."""

    async def living(self) -> list[NodeBeat]:
        """The incarnations not ended, as their rows say."""

    async def end(self, beat: NodeBeat) -> bool:
        """End an incarnation whose beat is still the one seen; False when it has moved, or another was first."""

    async def leave(self, incarnation: int) -> None:
        """End our own."""
