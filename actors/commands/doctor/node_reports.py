"""Checks of what living nodes say of themselves: only they know their circuits, and what their broker dropped."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from actors.commands.doctor.check_results import CheckResult, error, warning
from service.adapters.postgres.checkup import PostgresCheckup
from service.adapters.postgres.connection import Database
from service.adapters.rabbitmq.topology import DELIVERY
from service.node.lease import DEATH_TIMEOUT
from service.ports import Snapshots, Unavailable


class NodeReports:
    """The reports that living nodes share in Redis, and what they show. A node of an earlier version may share none."""

    def __init__(self, database: Database, snapshots: Snapshots) -> None:
        self._database = database
        self._snapshots = snapshots

    async def _read(self) -> Mapping[str, Mapping[str, Any]]:
        """The latest report of each living node that has one. Empty while a server is away: other checks tell that."""
        with suppress(Unavailable):
            checkup = PostgresCheckup(self._database)
            nodes = [one.node for one in await checkup.nodes() if one.silent <= DEATH_TIMEOUT]
            texts = await self._snapshots.reports(nodes)
            return {node: json.loads(text) for node, text in zip(nodes, texts, strict=True) if text is not None}
        return {}

    async def circuits(self, *, fallback: bool) -> list[CheckResult]:
        """Name the nodes that do not call the email service. `fallback` is True if there is a second one."""
        reports = await self._read()
        results = []
        stopped: dict[str, list[str]] = {}
        for node, report in sorted(reports.items()):
            if (circuit := report.get("circuit", {})).get("state") == "open":
                stopped.setdefault(str(circuit.get("reason")), []).append(node)
        everywhere = reports.keys() == {node for nodes in stopped.values() for node in nodes}
        for reason, nodes in sorted(stopped.items()):
            seconds = min(reports[node]["circuit"]["seconds"] for node in nodes)
            results.append(
                (error if everywhere and not fallback else warning)(
                    f"no greeting leaves by {', '.join(nodes)} since {seconds:.0f} s: the email service accepts none "
                    f"({reason}); messages wait and leave by themselves; see CircuitOpen in the runbook"
                )
            )
        return results

    async def queue_policies(self, known: Collection[str]) -> list[CheckResult]:
        """Name the policies that dropped bundles, but for those in `known`, which the dead letters show.

        A policy for every queue deletes the dead letters, too. Then only a node that took one knows of it.
        """
        met: dict[str, tuple[float, str]] = {}
        for node, report in (await self._read()).items():
            for one in report.get("queuePolicies", ()):
                met[one["policy"]] = min(met.get(one["policy"], (math.inf, "")), (one["seconds"], node))
        return [
            error(
                f"a policy with {policy} dropped bundles of {DELIVERY} {seconds:.0f} s ago, as node {node} says, and "
                "their greetings are late: `rabbitmqctl list_policies` and `rabbitmqctl list_operator_policies` show "
                "it; remove it"
            )
            for policy, (seconds, node) in sorted(met.items())
            if policy not in known
        ]
