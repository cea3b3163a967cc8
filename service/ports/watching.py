"""The watched figures, and the texts that nodes share, so that watching costs next to nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.messages import Status


@dataclass(frozen=True, slots=True)
class MessageCount:
    """The messages of one instant, zone, occasion and state; `late` of them ended more than a minute after it."""

    send_at: datetime
    timezone: str
    occasion: str
    status: Status
    count: int
    late: int


@dataclass(frozen=True, slots=True)
class LivingNode:
    """A node whose incarnation has not ended. `silent` is the number of seconds since its last heartbeat.

    `version` is that of heyday, and `settings` are those in effect when it started; None: a node of an earlier version.
    """

    incarnation: int
    node: str
    started_at: datetime
    silent: float
    tzdata: str | None
    version: str | None = None
    settings: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class EndedNode:
    """A node that ended lately, this many seconds ago. `died`: others ended it, because its heartbeats were missing."""

    incarnation: int
    node: str
    ended: float
    died: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures that need attention, and the nodes. Counts stop at the limit of the reading.

    `overdue` messages have been due for more than a minute and no call has begun; `overdue_since` is the first instant.
    """

    now: datetime
    rate: float
    ended: Mapping[Status, int]
    overdue: int
    overdue_since: datetime | None
    nodes: Sequence[LivingNode]
    ended_nodes: Sequence[EndedNode]
    day: Sequence[MessageCount] | None


class Overviews(Protocol):
    """Reads the figures by one statement."""

    async def read(self, *, since: datetime, limit: int, day: tuple[datetime, datetime] | None) -> Overview:
        """Count the ends that may be redriven from `since` on, and what is overdue, up to `limit` of each.

        With `day`, also count the messages from its first instant to before its second. Raises Unavailable.
        """


@dataclass(frozen=True, slots=True)
class SharedText:
    """A text that a node has shared. None: no node has shared it lately. `age` is in seconds.

    `turn`: the text is missing or old, and the caller, and no other node, has to make a new one.
    """

    text: str | None
    age: float
    turn: bool


class Snapshots(Protocol):
    """Texts with ids and counts that nodes share. Every method raises Unavailable. A lost text is computed again."""

    async def look(self, name: str, *, fresh: float) -> SharedText:
        """Read a text. A caller that gets the `turn` has `fresh` seconds for it."""

    async def share(self, name: str, text: str, *, fresh: float) -> None:
        """Share a text. No node gets the turn for `fresh` seconds, and others may use the text a while longer."""

    async def report(self, node: str, text: str) -> None:
        """Share the report of a node. It expires soon after its last renewal."""

    async def reports(self, nodes: Sequence[str]) -> list[str | None]:
        """Read the reports of these nodes. None: no recent report."""
