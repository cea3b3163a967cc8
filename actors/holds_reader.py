"""Reads the active holds several times a second, so that this node begins no call that a hold covers."""

from __future__ import annotations

from typing import Never

import structlog

from actors.context import NodeContext
from actors.periodic import PeriodicActor
from service.domain.holds import EVERYTHING, Hold
from service.node.sending_holds import READ_INTERVAL
from service.ports import Holds

log = structlog.get_logger(__name__)


class HoldsReader(PeriodicActor[Never]):
    """Renews `NodeContext.holds`. Logs and counts the holds that begin and end."""

    def __init__(self, node: NodeContext, holds: Holds) -> None:
        super().__init__(node)
        self._holds = holds

    async def run_once(self) -> float:
        known = self.node.holds
        asked_at = known.now()
        active = await self._holds.active()
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
