"""Moves unsent messages to the instants of newer zone data.

Users give a local day, a time and a zone; the instant is derived from them. When a government changes its clocks, a
node with the newer tzdata release finds the messages whose instant is another now, and moves them in one transaction.
While older nodes still plan beside it, it does so once at its start, and once more when the last of them is gone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Never

import structlog

from actors.context import NodeContext
from actors.periodic import LeasedActor
from service.domain.planning import days, moved_by_tzdata, summarize
from service.ports import Followed, Planning, WorkStream, ZoneData

log = structlog.get_logger(__name__)

RELEASE_POLL_INTERVAL = 5.0
"""Seconds between two checks of the release that messages follow, each a read of one row."""

LARGEST_ZONE_SHIFT = timedelta(hours=26)
"""The most by which a zone can move, the date line included. So much before the announced instant is planned again: a
message that moves there from beyond that instant has no row yet."""

ZONES_LOGGED_MAX = 40
"""Zones named in one log line."""


class TzdataUpdater(LeasedActor[Never]):
    """Compares this node's tzdata `release`, such as `2026f`, with the one that messages follow."""

    def __init__(
        self,
        node: NodeContext,
        zone_data: ZoneData,
        planning: Planning,
        plan: WorkStream,
        *,
        release: str,
    ) -> None:
        super().__init__(node)
        self._zone_data = zone_data
        self._planning = planning
        self._plan = plan
        self._release = release
        self._followed_once = False
        self._warned = False

    async def run_leased(self) -> float:
        followed = await self._zone_data.followed()
        if followed.release is not None and followed.release > self._release:
            await self._is_older(followed.release)
        elif followed.release != self._release and (followed.agreed or not self._followed_once):
            await self._follow(followed)
        return RELEASE_POLL_INTERVAL

    async def _is_older(self, other: str) -> None:
        if not self._warned:
            log.warning("zone_data_older", ours=self._release, followed=other)
            self._warned = True
        await self._zone_data.fall_back()

    async def _follow(self, followed: Followed) -> None:
        rules = await self._planning.rules()
        moves = moved_by_tzdata(rules, await self._zone_data.unsent())
        # All future messages are planned again, because an older node leaves out users in a zone that it does not know.
        # Before the first planning there is nothing to plan again.
        now = (await self._planning.planned()).now
        starts_at = (
            min(followed.planned_until - LARGEST_ZONE_SHIFT, now) if followed.release else followed.planned_until
        )
        ranges = await self._zone_data.follow(
            moves,
            days=days(rules, starts_at, followed.planned_until),
            starts_at=starts_at,
            ends_at=followed.planned_until,
            read=followed,
        )
        self._followed_once = True
        log.info(
            "zone_data_followed",
            release=self._release,
            before=followed.release,
            messages=sum(move.unsent.messages for move in moves),
            zones=summarize(moves)[:ZONES_LOGGED_MAX],
            last=followed.agreed,
        )
        if ranges:
            await self._plan.append([str(range_id) for range_id in ranges])
