"""The fake of the port `ZoneData`: the release that unsent messages follow, in the row of planning and in nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from service.domain.messages import UNSENT, Status
from service.domain.planning import OccasionDay, PlanRange, TzdataMove, UnsentDay
from service.ports import Followed, RowRefused
from tests.fakes.rows import MessageRow
from tests.fakes.truth import Truth


class FakeZoneData:
    """Implements `service.ports.ZoneData` for a node whose zone data is of this `release`."""

    def __init__(self, truth: Truth, *, release: str) -> None:
        self._truth = truth
        self._release = release

    async def followed(self) -> Followed:
        return Followed(
            self._truth.followed_release or None,
            self._truth.planned_until,
            self._agreed(),
            max(self._truth.nodes, default=0),
        )

    async def unsent(self) -> list[UnsentDay]:
        rows = [row for row in self._movable() if row.tzdata != self._release]
        days = Counter((day, row.timezone, row.send_at) for row in rows if (day := self._day(row)) is not None)
        found = [UnsentDay(*key, messages=count) for key, count in days.items()]
        return sorted(found, key=lambda one: (one.send_at, one.timezone, one.day.occasion))

    async def follow(
        self,
        moves: Sequence[TzdataMove],
        *,
        days: Sequence[OccasionDay],
        starts_at: datetime,
        ends_at: datetime,
        read: Followed,
    ) -> list[int]:
        truth = self._truth
        present = [day for day in days if day.occasion in truth.occasions]
        ranges = [truth.add_range(PlanRange(day, None, None, starts_at, ends_at)) for day in present]
        instants = {(one.unsent.day, one.unsent.timezone, one.unsent.send_at): one.send_at for one in moves}
        for row in self._movable():
            day = self._day(row)
            send_at = None if day is None else instants.get((day, row.timezone, row.send_at))
            if send_at is not None:
                try:
                    truth.move(
                        row,
                        status=Status.SCHEDULED,
                        send_at=send_at,
                        due_at=max(send_at, truth.now()),
                        tzdata=self._release,
                        status_reason=f"moved: the time zone has changed, by tzdata {self._release}",
                    )
                except RowRefused as refused:
                    truth.put_aside(row.id, "follow_zones", refused.reason)
        begun_since = [row for number, row in truth.nodes.items() if number > read.latest_node]
        stays_agreed = self._agreed() and all(row.tzdata == self._release for row in begun_since)
        if truth.followed_release < self._release and read.agreed and stays_agreed:
            truth.followed_release = self._release
        return ranges

    async def fall_back(self) -> None:
        self._truth.followed_release = min(self._truth.followed_release, self._release)

    def _agreed(self) -> bool:
        return all(row.tzdata == self._release for row in self._truth.nodes.values() if not row.ended)

    def _movable(self) -> list[MessageRow]:
        """The unsent messages, except those that an operator redrove."""
        return [row for row in self._truth.in_state(*UNSENT) if row.redriven_at is None]

    def _day(self, row: MessageRow) -> OccasionDay | None:
        """The user's day that a message greets, None if the user no longer has it."""
        date = self._truth.users[row.user_id].profile.dates.get(row.occasion)
        return None if date is None else OccasionDay(row.occasion, row.local_year, date.month * 100 + date.day)
