"""What a rehearsal has found: the verdict, what each fault did, and everything else that must be so."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from actors.chaos.options import ChaosOptions
from actors.chaos.ordeal import Ordeal
from actors.chaos.script import Skipped
from actors.rehearsal.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """The end of a rehearsal. `suspects` has the whole history of the messages that something is wrong with."""

    options: ChaosOptions
    verdict: Verdict
    ordeals: tuple[Ordeal, ...]
    skipped: tuple[Skipped, ...]
    zones: int
    seconds: float
    accepted: int
    """Acceptances in the email service's books, repeated ones included."""
    not_drained: tuple[str, ...] = ()
    """Nodes that did not end in order when all was over."""
    crashes: int = 0
    """Actors that crashed and were started again: bugs, though nothing came of them."""
    suspects: tuple[dict[str, Any], ...] = field(default=())

    @property
    def good(self) -> bool:
        """Nothing lost, early or twice, both books agree, every fault was recovered from, and every node ended."""
        return self.verdict.good and all(one.good for one in self.ordeals) and not self.not_drained

    def as_json(self) -> dict[str, Any]:
        """Everything, for a machine."""
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
            "accepted": self.accepted,
            "lost": verdict.lost,
            "early": verdict.early,
            "twice": verdict.duplicates,
            "repeatedAfterUnknownOutcome": verdict.repeated,
            "unknownOutcomes": verdict.unknown,
            "rejected": verdict.rejected,
            "notOnRecord": verdict.unrecorded,
            "notDrained": list(self.not_drained),
            "actorCrashes": self.crashes,
            "faults": [asdict(one) | {"problems": list(one.problems)} for one in self.ordeals],
            "notRehearsed": [asdict(one) for one in self.skipped],
            "suspects": list(self.suspects),
        }
