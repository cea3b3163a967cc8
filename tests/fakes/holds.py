"""The fake of the port `Holds`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from service.adapters.postgres.holds import MOST_ACTIVE
from service.domain.holds import Hold
from service.ports import AuditAction, HoldRefused, Keep, Principal
from tests.fakes.truth import Truth


class FakeHolds:
    """Implements `service.ports.Holds`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def active(self) -> list[Hold]:
        return self._truth.active_holds()[:MOST_ACTIVE]

    async def page(self, *, after: UUID | None, limit: int) -> list[Hold]:
        found = [hold for number, hold in sorted(self._truth.holds.items()) if after is None or number < after]
        return found[::-1][:limit]

    async def create(
        self,
        *,
        occasion: str | None,
        reason: str,
        by: Principal,
        until: datetime | None = None,
        lasts: timedelta | None = None,
        keep: Callable[[Hold], Keep | None] = lambda _hold: None,
    ) -> Hold:
        truth, now = self._truth, self._truth.now()
        if occasion is not None and occasion not in truth.occasions:
            raise HoldRefused("occasion", "Expected the code of an occasion.")
        if until is not None and until <= now:
            raise HoldRefused("until", "Expected an instant in the future.")
        if len(truth.active_holds()) >= MOST_ACTIVE:
            raise HoldRefused(None, f"Expected {MOST_ACTIVE} active holds at most. Release one first.")
        until = until or (None if lasts is None else now + lasts)
        hold = Hold(truth.new_hold_id(), occasion, reason, by.author, now, until)
        truth.put_hold(hold)
        truth.record_change(by, AuditAction.HOLD_CREATED, [hold.id])
        return hold

    async def release(self, ids: Sequence[UUID], *, by: Principal) -> list[Hold]:
        truth, now = self._truth, self._truth.now()
        for number in sorted(set(ids)):
            hold = truth.holds.get(number)
            if hold is not None and hold.active(now):
                truth.holds[number] = replace(hold, released_at=now, released_by=by.author)
                truth.record_change(by, AuditAction.HOLD_RELEASED, [number])
        return [truth.holds[number] for number in sorted(set(ids) & truth.holds.keys())]
