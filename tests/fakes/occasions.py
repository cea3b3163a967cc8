"""The fake of the port `Occasions`: every change counts the versions, as the trigger of the schema does."""

from __future__ import annotations

from datetime import UTC, datetime

from service.domain.occasions import MOST_OCCASIONS, Occasion, date_field
from service.ports import (
    AuditAction,
    OccasionChanged,
    OccasionEntry,
    OccasionInUse,
    Principal,
    RowRefused,
    TooManyOccasions,
)
from tests.fakes.rows import OccasionRecord
from tests.fakes.truth import Truth

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class FakeOccasions:
    """Implements `service.ports.Occasions`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def all(self) -> list[OccasionEntry]:
        return [_entry(row) for _, row in sorted(self._truth.occasions.items())]

    async def get(self, code: str) -> OccasionEntry | None:
        row = self._truth.occasions.get(code)
        return None if row is None else _entry(row)

    async def put(
        self, occasion: Occasion, *, version: int | None = None, create_only: bool = False, by: Principal
    ) -> tuple[OccasionEntry, bool]:
        before = self._truth.occasions.get(occasion.code)
        _require(version, before)
        if create_only and before is not None:
            raise OccasionChanged(before.version)
        if before is None and len(self._truth.occasions) >= MOST_OCCASIONS:
            raise TooManyOccasions
        others = (code for code in self._truth.occasions if code != occasion.code)
        if occasion.mistakes() or date_field(occasion.code) in map(date_field, others):
            raise RowRefused("not an occasion")
        row = self._truth.put_occasion(occasion)
        if row is not before:
            action = AuditAction.OCCASION_CREATED if before is None else AuditAction.OCCASION_CHANGED
            self._truth.record_change(by, action, [occasion.code])
        return _entry(row), before is None

    async def delete(self, code: str, *, version: int | None = None, by: Principal) -> bool:
        truth = self._truth
        before = truth.occasions.get(code)
        if before is None:
            return False
        _require(version, before)
        dated = any(code in row.profile.dates for row in truth.users.values())
        if dated or any(row.occasion == code for row in truth.messages.values()):
            raise OccasionInUse
        truth.plan_ranges = {
            number: found for number, found in truth.plan_ranges.items() if found[0].day.occasion != code
        }
        del truth.occasions[code]
        truth.rules_version += 1
        truth.record_change(by, AuditAction.OCCASION_DELETED, [code])
        return True


def _require(version: int | None, row: OccasionRecord | None) -> None:
    if version is not None and (row is None or row.version != version):
        raise OccasionChanged(None if row is None else row.version)


def _entry(row: OccasionRecord) -> OccasionEntry:
    return OccasionEntry(
        row.occasion,
        row.version,
        row.text_version,
        row.active_since,
        row.created_at or _BEGIN,
        row.updated_at or _BEGIN,
    )
