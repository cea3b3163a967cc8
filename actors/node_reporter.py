"""Shares the state of this node, so that any node can show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Never

import orjson

from actors.context import NodeContext
from actors.periodic import PeriodicActor
from service.ports import NodeName, Snapshots

REPORT_INTERVAL = 2.0
"""Seconds between two reports. A report costs one command in Redis, as much as the question if a page is open."""


class NodeReporter(PeriodicActor[Never]):
    """Shares `report` under the node's name."""

    def __init__(
        self,
        node: NodeContext,
        snapshots: Snapshots,
        *,
        name: NodeName,
        report: Callable[[], Mapping[str, object]],
    ) -> None:
        super().__init__(node)
        self._snapshots = snapshots
        self._name = name
        self._report = report

    async def run_once(self) -> float:
        await self._snapshots.report(str(self._name), orjson.dumps(self._report()).decode())
        return REPORT_INTERVAL
