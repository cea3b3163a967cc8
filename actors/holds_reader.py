"""Reads the active holds and the limits several times a second, so that this node begins no call against them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Never

import structlog

from actors.context import NodeContext
from actors.periodic import PeriodicActor
from service.domain.holds import EVERYTHING, Hold
from service.domain.limits import LimitChange
from service.node.sending_holds import READ_INTERVAL
from service.ports import Holds, Limits

log = structlog.get_logger(__name__)


class HoldsReader(PeriodicActor[Never]):
    """Renews `NodeContext.holds`. Logs and counts the holds that begin and end.

    `on_limits` gets each reading of the limits.

    Limits are used before the holds are renewed: a call begins by a recent reading of the holds, and so by limits that
    are as recent.
    """

    def __init__(
        self, node: NodeContext, holds: Holds, limits: Limits, *, on_limits: Callable[[list[LimitChange]], None]
    ) -> None:
        super().__init__(node)
        self._holds = holds
        self._limits = limits
        self._on_limits = on_limits

    async def run_once(self) -> float:
        known = self.node.holds
        asked_at = known.now()
        limits, active = await self._limits.read(), await self._holds.active()
        self._on_limits(limits)
        before = known.active
        known.renew(active, asked_at)
        if active != list(before):
            self._report(before, active)
        return READ_INTERVAL

    def _report(self, before: tuple[Hold, ...], active: list[Hold]) -> None:
        gauge = self.node.metrics.sending_held
        for subject in {one.subject for one in before}:
            gauge.labels(subject).set(0)
        for subject in {EVERYTHING, *(one.subject for one in active)}:
            gauge.labels(subject).set(any(one.subject == subject for one in active))
        known, present = {one.id for one in before}, {one.id for one in active}
        for one in active:
            if one.id not in known:
                until = one.until and one.until.isoformat()
                log.warning("sending_held", hold=str(one.id), occasion=one.occasion, author=one.author, until=until)
        for one in before:
            if one.id not in present:
                log.info("sending_released", hold=str(one.id), occasion=one.occasion)
