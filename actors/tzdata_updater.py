"""Keeps the unsent messages in step with the newest release of the zone data that runs here.

What users gave is the local day, the time and the zone; the instant is derived from it. When governments change their
clocks, a node with the newer release finds the messages whose instant is another, and moves them in one transaction.
While older nodes still plan beside it, it looks once at its start, and once more when the last of them is gone.
"""

from __future__ import annotations

from datetime import time as time_of_day
from datetime import timedelta

import structlog

from actors.lease import Lease
from actors.repeating import FIRST_WAIT, Repeating
from service.domain.calendar import LeapDay
from service.outages import Outages
from service.planning import Rules, days, shifted, told
from service.ports import Followed, Planning, WorkStream, ZoneData

log = structlog.get_logger(__name__)

LOOK_EVERY = 5.0
"""Seconds between two looks at what the others have: a read of one row."""

PLANNED_AGAIN = timedelta(hours=26)
"""How far before the announced instant is planned again at least: the most by which a zone can move, the date line
included. What moved there from beyond was not planned yet, and would not be."""

MOST_TOLD = 40
"""Zones named in one log line."""


class ZoneKeeper(Repeating[object]):
    """Looks whether this node's release is newer than what messages follow. `release` is such as `2026f`."""

    def __init__(
        self,
        zone_data: ZoneData,
        planning: Planning,
        plan: WorkStream,
        *,
        release: str,
        send_at: time_of_day,
        leap_day: LeapDay,
        lease: Lease,
        outages: Outages,
    ) -> None:
        super().__init__(outages)
        self._zone_data = zone_data
        self._planning = planning
        self._plan = plan
        self._release = release
        self._send_at = send_at
        self._leap_day = leap_day
        self._lease = lease
        self._looked = False
        self._warned = False

    async def turn(self) -> float:
        if not await self._lease.granted(within=LOOK_EVERY):
            return FIRST_WAIT
        followed = await self._zone_data.followed()
        if followed.release is not None and followed.release > self._release:
            await self._is_older(followed.release)
        elif followed.release != self._release and (followed.agreed or not self._looked):
            await self._follow(followed)
        return LOOK_EVERY

    async def _is_older(self, other: str) -> None:
        if not self._warned:
            log.warning("zone_data_older", ours=self._release, followed=other)
            self._warned = True
        await self._zone_data.fall_back()

    async def _follow(self, followed: Followed) -> None:
        rules = Rules(self._send_at, self._leap_day, tuple(await self._planning.occasions()))
        moves = shifted(rules, await self._zone_data.unsent())
        # Whatever is still to come is planned again, too: an older node leaves out whoever lives in a zone that it does
        # not know. Where nothing was ever planned there is nothing to plan again.
        now = (await self._planning.planned()).now
        starts_at = min(followed.up_to - PLANNED_AGAIN, now) if followed.release else followed.up_to
        ranges = await self._zone_data.follow(
            moves, days=days(rules, starts_at, followed.up_to), starts_at=starts_at, ends_at=followed.up_to
        )
        self._looked = True
        log.info(
            "zone_data_followed",
            release=self._release,
            before=followed.release,
            messages=sum(move.unsent.messages for move in moves),
            zones=told(moves)[:MOST_TOLD],
            last=followed.agreed,
        )
        if ranges:
            await self._plan.append([str(range_id) for range_id in ranges])
