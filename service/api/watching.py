"""The watched figures, computed once for all clients, and only while a client asks for them.

A figure is computed on request if it is older than `REFRESH_INTERVAL`, by one node for all. The others read it from
Redis. Without Redis, each node computes for itself, as seldom. Without the database, the last figures are answered with
their age.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from types import NoneType
from typing import Any, NoReturn

import orjson

from service.api.day_counts import DayCounts, nothing_counted, window
from service.api.http.json_text import encode
from service.api.representations.watching import MAX_COUNTED, EndedNodeAnswer, WatchedNodeAnswer
from service.api.shapes import NUMBER, Shape, has_shape
from service.ports import LivingNode, Overview, Overviews, SharedText, Snapshots, Unavailable

REFRESH_INTERVAL = 5.0
"""Seconds after which a figure is computed again, if a client still asks."""

OTHER_DAY_INTERVAL = 60.0
"""Seconds after which the figures of a day that is not today are computed again."""

MAX_AGE = 60.0
"""Seconds for which a figure is answered while another one is computed."""

LOOK_INTERVAL = 1.0
"""Seconds for which a node answers without asking Redis."""

FIRST_WAIT = 2.0
"""Seconds to wait for another node that computes a figure for the first time."""

FIRST_POLL_INTERVAL = 0.05

WATCHED_FOR = 10.0
"""Seconds after a request for which a page counts as watched."""

ENDS_WITHIN = timedelta(days=7)
"""The ends that need attention are those of greetings of these last days."""

MAX_DAYS_KEPT = 16
"""Days that a node keeps."""

NOW = "now"
"""The name of the overview among the figures; the others are days."""


_OVERVIEW: Shape = {
    "now": str,
    "rate": NUMBER,
    "since": str,
    "ended": {"unknown": int, "failed": int, "expired": int},
    "overdue": int,
    "overdueSince": str | None,
    "nodes": [
        {
            "node": str,
            "incarnation": int,
            "startedAt": str,
            "silentSeconds": NUMBER,
            "tzdata": str | None,
            "version": str | None,
            "settings": dict | None,
            "report": dict | None,
        }
    ],
    "endedNodes": [{"node": str, "incarnation": int, "endedSeconds": NUMBER, "died": bool}],
}
"""The overview as nodes share it. Its reports are looked at one by one."""

_ACTOR: dict[str, Shape] = {
    "name": str,
    "kind": str,
    "state": str,
    "mailbox": (NoneType, {"depth": int, "capacity": int}),
    "restarts": int,
    "lastError": str | None,
}
_ACTOR["children"] = [_ACTOR]

_REPORT: Shape = {
    "version": str,
    "tzdata": str,
    "missing": [str],
    "lease": {"held": bool, "secondsLeft": NUMBER},
    "clock": {"skewSeconds": NUMBER, "jumps": int},
    "circuit": {"state": str, "reason": str | None},
    "outages": [{"system": str, "reason": str, "seconds": NUMBER}],
    "pool": {"active": int, "idle": int, "max": int, "waiting": int},
    "actors": _ACTOR,
}
"""The report of a node, as far as clients and what needs attention read it."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A figure as a node has it: the members of the overview, or `DayCounts`. `version` changes with its text.
    `computed_at` is of the steady clock.
    """

    text: str
    content: Any
    version: int
    computed_at: float
    looked_at: float


class Watching:
    """Answers with the overview, and with days. `report` is the report of this node.

    `snapshots` is None where figures are not shared.
    """

    def __init__(
        self,
        overviews: Overviews,
        snapshots: Snapshots | None,
        *,
        node: Callable[[], str],
        report: Callable[[], Mapping[str, object]],
    ) -> None:
        self._overviews = overviews
        self._snapshots: Snapshots = snapshots or _NotShared()
        self._node = node
        self._report = report
        self._kept: dict[str, Figures] = {}
        self._asked: dict[str, float] = {}
        self._versions = count(1)
        self._lock = asyncio.Lock()

    def age(self, figures: Figures) -> float:
        """Seconds since the figures were computed."""
        return max(0.0, time.monotonic() - figures.computed_at)

    async def overview(self, now: datetime) -> Figures:
        """The figures that need attention, and the nodes. Raises Unavailable."""
        return await self._get(NOW, now)

    async def day(self, day: date, now: datetime) -> Figures:
        """The messages of a day in UTC by instant, zone, occasion and state. Raises Unavailable."""
        return await self._get(_name(day, now), now)

    async def _get(self, name: str, now: datetime) -> Figures:
        if self._lock.locked() and (known := self._kept.get(name)) is not None and self.age(known) < MAX_AGE:
            return known  # it is being computed, or something else is: no request waits for that
        # One at a time: everybody who asks meanwhile gets the same answer, and a node counts one day at a time.
        async with self._lock:
            self._asked.pop(name, None)
            self._asked[name] = time.monotonic()
            while len(self._asked) > MAX_DAYS_KEPT:
                forgotten = next(iter(self._asked))
                self._asked.pop(forgotten)
                self._kept.pop(forgotten, None)
            known = self._kept.get(name)
            if known is not None and time.monotonic() - known.looked_at < LOOK_INTERVAL:
                return known
            return await self._look(name, known, now)

    async def _look(self, name: str, known: Figures | None, now: datetime) -> Figures:
        fresh = _interval(name)
        deadline = time.monotonic() + FIRST_WAIT
        while True:
            try:
                found = await self._snapshots.look(name, fresh=fresh)
            except Unavailable:
                if known is not None and self.age(known) < fresh:
                    # Redis is asked as rarely as while it answers.
                    self._kept[name] = replace(known, looked_at=time.monotonic())
                    return self._kept[name]
                return await self._compute(name, known, now)
            known = self._found(name, found) or known
            if found.turn or (known is None and time.monotonic() >= deadline):
                return await self._compute(name, known, now)
            if known is not None:
                return known
            await asyncio.sleep(FIRST_POLL_INTERVAL)  # another node computes it for the first time

    async def _compute(self, name: str, known: Figures | None, now: datetime) -> Figures:
        """Compute the overview in one statement.

        The statement includes hours of the day of that name, or of today if that is watched and due.
        """
        day = await self._watched_today(now) if name == NOW else _day(name)
        counts = None if day is None else self._counts(day, now)
        hours = None if counts is None else counts.due(now)
        if counts is not None and hours is None:
            await self._share_day(counts, now)  # it stays as it is
            if name != NOW:
                return self._kept[name]
        began = time.monotonic()
        try:
            overview = await self._overviews.read(
                since=now - ENDS_WITHIN,
                limit=MAX_COUNTED,
                day=None if counts is None or hours is None else window(counts.day, hours),
            )
        except Unavailable:
            if known is None:
                raise
            return known
        took = time.monotonic() - began
        await self._share(NOW, encode(await self._overview_json(overview)).decode())
        if counts is not None and hours is not None and overview.day is not None:
            await self._share_day(counts.counted(hours, overview.day, overview.now, took), now)
        return self._kept[name]

    async def _watched_today(self, now: datetime) -> date | None:
        """Return today if a client watches it here and this node has the turn to count it."""
        today = now.astimezone(UTC).date()
        name = _name(today, now)
        if time.monotonic() - self._asked.get(name, float("-inf")) > WATCHED_FOR:
            return None
        try:
            found = await self._snapshots.look(name, fresh=REFRESH_INTERVAL)
        except Unavailable:
            known = self._kept.get(name)
            return today if known is None or self.age(known) >= REFRESH_INTERVAL else None
        self._found(name, found)
        return today if found.turn else None

    def _counts(self, day: date, now: datetime) -> DayCounts:
        known = self._kept.get(_name(day, now))
        if known is None:
            return nothing_counted(day)
        counts: DayCounts = known.content
        return counts.older(self.age(known))

    async def _share_day(self, counts: DayCounts, now: datetime) -> None:
        await self._share(_name(counts.day, now), encode(counts.content()).decode())

    def _found(self, name: str, found: SharedText) -> Figures | None:
        """Keep what a node shared. None: nothing that this version of heyday can read."""
        return None if found.text is None else self._keep(name, found.text, found.age)

    async def _share(self, name: str, text: str) -> None:
        self._keep(name, text, 0.0)
        with suppress(Unavailable):  # the figures are answered all the same, and the next node computes them again
            await self._snapshots.share(name, text, fresh=_interval(name))

    def _keep(self, name: str, text: str, age: float) -> Figures | None:
        now = time.monotonic()
        known = self._kept.get(name)
        if known is None or known.text != text:
            content = _content(name, text)
            if content is None:
                return None
            known = Figures(text, content, next(self._versions), computed_at=now, looked_at=now)
        self._kept[name] = replace(known, computed_at=now - age, looked_at=now)
        return self._kept[name]

    async def _overview_json(self, overview: Overview) -> dict[str, object]:
        return {
            "now": overview.now,
            "rate": overview.rate,
            "since": overview.now - ENDS_WITHIN,
            "ended": {status.value: number for status, number in overview.ended.items()},
            "overdue": overview.overdue,
            "overdueSince": overview.overdue_since,
            "nodes": await self._nodes_json(overview.nodes),
            "endedNodes": [EndedNodeAnswer.json(one) for one in overview.ended_nodes],
        }

    async def _nodes_json(self, nodes: Sequence[LivingNode]) -> list[dict[str, object]]:
        names = [one.node for one in nodes]
        reports: list[Any] = [None] * len(names)
        with suppress(Unavailable):
            reports = [text and _object(text) for text in await self._snapshots.reports(names)]
        own = self._node()
        return [
            WatchedNodeAnswer.json(one, report=self._report() if one.node == own else report)
            for one, report in zip(nodes, reports, strict=True)
        ]


def _content(name: str, text: str) -> Any:
    """The content of a figure; None: nothing that this version of heyday can read."""
    content = _object(text)
    if content is None:
        return None
    if name != NOW:
        try:
            return DayCounts.parse(_day(name), content)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None
    if not has_shape(content, _OVERVIEW):
        return None
    for node in content["nodes"]:
        if not has_shape(node["report"], _REPORT):
            node["report"] = None
    return content


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object of the text; None: it is of another program."""
    try:
        content = orjson.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _name(day: date, now: datetime) -> str:
    """The name of a day's figures. Today has another name, so that at midnight a day does not stay too old."""
    return f"{'today' if day == now.astimezone(UTC).date() else 'day'}:{day.isoformat()}"


def _day(name: str) -> date:
    return date.fromisoformat(name.partition(":")[2])


def _interval(name: str) -> float:
    return OTHER_DAY_INTERVAL if name.startswith("day:") else REFRESH_INTERVAL


class _NotShared:
    """Implements `service.ports.Snapshots` without sharing."""

    async def look(self, name: str, *, fresh: float) -> SharedText:
        self._refuse()

    async def share(self, name: str, text: str, *, fresh: float) -> None:
        self._refuse()

    async def report(self, node: str, text: str) -> None:
        self._refuse()

    async def reports(self, nodes: Sequence[str]) -> list[str | None]:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise Unavailable("redis", "not used here")
