"""The result of a rehearsal: the verdict, the fault runs, and whether it passed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from actors.commands.chaos.fault_run import FaultRun
from actors.commands.chaos.options import ChaosOptions
from actors.commands.chaos.schedule import Skipped
from actors.commands.rehearsal.verdict import Verdict


@dataclass(frozen=True, slots=True)
class RehearsalResult:
    """The result. `suspects` has the history of the messages that are lost, early or duplicated."""

    options: ChaosOptions
    verdict: Verdict
    fault_runs: tuple[FaultRun, ...]
    skipped: tuple[Skipped, ...]
    zones: int
    seconds: float
    acceptances: int
    """Acceptances in the ledger of the email service, repeated ones included."""
    met_nothing: tuple[Skipped, ...] = ()
    """Faults that were possible and showed nothing: no message was left, or they found nothing to take."""
    not_drained: tuple[str, ...] = ()
    """Nodes that did not end in order at the end."""
    crashes: int = 0
    """Actor crashes in the logs that no fault explains. Each is a bug, even if nothing was lost."""
    suspects: tuple[dict[str, Any], ...] = field(default=())

    @property
    def good(self) -> bool:
        """True if the verdict is good, heyday recovered from every fault, no actor crashed and every node drained.

        A rehearsal without a fault, with one that met nothing, or with a message that no user of the wave should get,
        is not good.
        """
        return (
            self.verdict.good
            and self.verdict.planned == self.options.greetings
            and bool(self.fault_runs)
            and all(one.good for one in self.fault_runs)
            and not (self.met_nothing or self.crashes or self.not_drained)
        )

    def as_json(self) -> dict[str, Any]:
        """The result as JSON."""
        verdict = self.verdict
        return {
            "passed": self.good,
            "command": self.options.command,
            "seed": self.options.seed,
            "nodes": self.options.nodes,
            "zones": self.zones,
            "seconds": round(self.seconds, 1),
            "planned": verdict.planned,
            "sent": verdict.sent,
            "accepted": verdict.accepted,
            "acceptances": self.acceptances,
            "lost": verdict.lost,
            "late": verdict.late,
            "failed": verdict.refused,
            "early": verdict.early,
            "twice": verdict.duplicates,
            "repeatedAfterUnknownOutcome": verdict.repeated,
            "unknownOutcomes": verdict.unknown,
            "retried": verdict.retried,
            "rejected": verdict.rejected,
            "notOnRecord": verdict.unrecorded,
            "notDrained": list(self.not_drained),
            "actorCrashes": self.crashes,
            "faults": [one.as_json() for one in self.fault_runs],
            "metNothing": [asdict(one) for one in self.met_nothing],
            "notRehearsed": [asdict(one) for one in self.skipped],
            "suspects": list(self.suspects),
        }
