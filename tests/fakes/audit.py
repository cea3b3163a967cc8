"""The fake of the port `AuditLog`."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from service.ports import AuditAction, AuditFilter, AuditRecord, Principal
from tests.fakes.truth import Truth


class FakeAuditLog:
    """Implements `service.ports.AuditLog`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def record(self, by: Principal, action: AuditAction, subjects: Sequence[str]) -> None:
        self._truth.record_change(by, action, subjects)

    async def page(self, wanted: AuditFilter, *, before: UUID | None, limit: int) -> list[AuditRecord]:
        position = next(((one.at, one.id) for one in self._truth.audit if one.id == before), None)

        def matches(one: AuditRecord) -> bool:
            return (
                (before is None or (position is not None and (one.at, one.id) < position))
                and (wanted.action is None or one.action == wanted.action)
                and (wanted.key is None or one.by.name == wanted.key)
                and (wanted.since is None or one.at >= wanted.since)
                and (wanted.until is None or one.at < wanted.until)
            )

        return sorted(filter(matches, self._truth.audit), key=lambda one: (one.at, one.id), reverse=True)[:limit]
