"""The fake of the port `Suppressions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from service.domain.suppressions import NewSuppression, Suppression, SuppressionReason, address_hash
from service.ports import AddedSuppression, AuditAction, Principal
from tests.fakes.rows import SuppressionRow
from tests.fakes.truth import Truth


class FakeSuppressions:
    """Implements `service.ports.Suppressions`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def page(
        self, *, email: str | None, reason: SuppressionReason | None, after: UUID | None, limit: int
    ) -> list[Suppression]:
        found = None if email is None else address_hash(email)
        rows = sorted(self._truth.suppressions.values(), key=lambda row: row.id)
        return [
            _suppression(row)
            for row in rows
            if (after is None or row.id > after) and found in (None, row.address_hash) and reason in (None, row.reason)
        ][:limit]

    async def add(self, given: Sequence[NewSuppression], *, by: Principal) -> list[AddedSuppression]:
        truth, results = self._truth, []
        first = {key: one for one in reversed(given) if (key := (address_hash(one.email), one.reason))}
        new = {}
        for key in sorted(first):
            one, row = first[key], truth.suppressions.get(key)
            if row is None:
                row = new[key] = SuppressionRow(
                    id=truth.new_suppression_id(),
                    address_hash=key[0],
                    email=one.email,
                    reason=one.reason,
                    source=one.source,
                    created_at=truth.now(),
                )
            truth.suppressions[key] = row if row.email is not None else replace(row, email=one.email)
        truth.record_change(by, AuditAction.SUPPRESSION_ADDED, [row.id for row in new.values()])
        for one in given:
            key = (address_hash(one.email), one.reason)
            results.append(AddedSuppression(_suppression(truth.suppressions[key]), new=new.pop(key, None) is not None))
        return results

    async def remove(self, suppression_id: UUID, *, by: Principal) -> bool:
        rows = self._truth.suppressions
        kept = {key: row for key, row in rows.items() if row.id != suppression_id}
        removed = len(kept) < len(rows)
        self._truth.suppressions = kept
        self._truth.record_change(by, AuditAction.SUPPRESSION_REMOVED, [suppression_id] if removed else [])
        return removed


def _suppression(row: SuppressionRow) -> Suppression:
    return Suppression(row.id, row.email, row.reason, row.source, row.created_at)
