"""The fake of the port `Limits`."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.limits import LimitChange, LimitName
from service.ports import AuditAction, Principal
from tests.fakes.truth import Truth


class FakeLimits:
    """Implements `service.ports.Limits`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def read(self) -> list[LimitChange]:
        return [change for _, change in sorted(self._truth.limits.items())]

    async def change(self, values: Mapping[LimitName, str | None], *, by: Principal) -> list[LimitChange]:
        truth = self._truth
        for name, value in sorted(values.items()):
            before = truth.limits.get(name)
            if (before.value if before is not None else None) == value:
                continue
            version = max((one.version for one in truth.limits.values()), default=0) + 1
            truth.limits[name] = LimitChange(name, value, version, by.author, truth.now())
            action = AuditAction.LIMIT_REMOVED if value is None else AuditAction.LIMIT_CHANGED
            truth.record_change(by, action, [name])
        return await self.read()
