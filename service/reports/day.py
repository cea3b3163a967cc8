"""A day around the world: for each instant, offset and occasion the states of its messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta

from service.domain.holds import Hold, hold_of
from service.domain.messages import Status
from service.domain.zones import UnknownZone, zone
from service.ports import MessageCount

LATE_AFTER = timedelta(minutes=1)
"""A message is late if it has not been sent this long after its instant."""


@dataclass(slots=True)
class Tally:
    """Counts of messages by state. `planned` is the sum of the others without `cancelled` and `sent_late`.

    `waiting` are ahead, or on their way and not late yet. `late` are unsent, past their instant, and neither retrying
    nor held. `sent_late` are among `sent`.
    """

    planned: int = 0
    waiting: int = 0
    sending: int = 0
    late: int = 0
    retrying: int = 0
    held: int = 0
    sent: int = 0
    sent_late: int = 0
    failed: int = 0
    expired: int = 0
    unknown: int = 0
    cancelled: int = 0

    def add(self, name: str, count: int) -> None:
        """Count this many under that name, and as planned unless they were cancelled."""
        setattr(self, name, getattr(self, name) + count)
        if name != "cancelled":
            self.planned += count

    def include(self, other: Tally) -> None:
        """Add the counts of another one."""
        for one in fields(Tally):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


@dataclass(slots=True)
class Cell:
    """The messages of an occasion at one instant in one offset, or in one zone. `offset` is in minutes east of UTC."""

    at: datetime
    offset: int
    occasion: str
    zones: set[str] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)


def day_cells(
    counts: Iterable[MessageCount],
    *,
    counted_at: Callable[[MessageCount], datetime],
    holds: Sequence[Hold],
    by_zone: bool = False,
) -> list[Cell]:
    """The cells of a day, from the east to the west. With `by_zone`, each has one zone.

    A count is judged as of its instant: what is not late yet may be sent by now.
    """
    cells: dict[tuple[object, ...], Cell] = {}
    for one in counts:
        offset = _offset(one.timezone, one.send_at)
        key = (one.send_at, offset, one.occasion, one.timezone if by_zone else None)
        cell = cells.setdefault(key, Cell(one.send_at, offset, one.occasion))
        cell.zones.add(one.timezone)
        cell.tally.add(_column(one, counted_at(one), holds), one.count)
        if one.status is Status.SENT:
            cell.tally.sent_late += one.late
    return sorted(cells.values(), key=lambda cell: (-cell.offset, cell.at, cell.occasion, min(cell.zones)))


def totals(cells: Iterable[Cell]) -> tuple[Tally, dict[str, Tally]]:
    """The sums of all cells, and of the cells of each occasion."""
    everything, by_occasion = Tally(), defaultdict[str, Tally](Tally)
    for cell in cells:
        everything.include(cell.tally)
        by_occasion[cell.occasion].include(cell.tally)
    return everything, dict(sorted(by_occasion.items()))


def _column(one: MessageCount, now: datetime, holds: Sequence[Hold]) -> str:
    match one.status:
        case Status.SENT | Status.FAILED | Status.EXPIRED | Status.UNKNOWN | Status.CANCELLED | Status.SENDING:
            return one.status.value
    due = one.send_at <= now
    if due and hold_of(holds, one.occasion) is not None:
        return "held"
    if one.status is Status.RETRYING:
        return "retrying"
    return "late" if one.send_at <= now - LATE_AFTER else "waiting"


def _offset(name: str, at: datetime) -> int:
    """Minutes east of UTC; 0 for a name that this release of the zone data does not know."""
    try:
        offset = at.astimezone(zone(name)).utcoffset()
    except UnknownZone:
        return 0
    return 0 if offset is None else round(offset.total_seconds() / 60)
