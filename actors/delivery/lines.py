"""The canonical line of a greeting, one for each attempt; docs/reference/logs.md lists its fields."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.domain.messages import Status
from service.ports import Recorded
from service.telemetry.logs import say_together

if TYPE_CHECKING:
    from actors.delivery.recorder import Record


def say_what_became(records: Sequence[Record], moved: Sequence[Recorded]) -> None:
    """A line for each record of a batch; those in `moved` decided what becomes of their message."""
    by_id = {one.id: one for one in moved}
    lines: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    for record in records:
        claim, answer, became = record.result.claim, record.result.answer, by_id.get(record.result.claim.id)
        status = became.status if became is not None else record.result.status
        lines["warning" if status is Status.FAILED else "info"].append(
            {
                "event": f"greeting_{status.value}",
                "message": str(claim.id),
                "occasion": record.claimed.occasion,
                "attempt": claim.attempt,
                "outcome": answer.outcome.value if answer is not None else "not_attempted",
                "status_code": answer.status_code if answer is not None else None,
                "seconds": round(answer.duration, 6) if answer is not None and answer.called else None,
                # Of one that was accepted by an earlier attempt, nobody here knows when that began.
                "lateness": round(became.lateness, 3) if became is not None and (not answer or answer.called) else None,
                "recorded": became is not None,
                "actor": record.parcel.actor,
                **({"trace_id": record.parcel.trace_id} if record.parcel.trace_id is not None else {}),
            }
        )
    for level, events in lines.items():
        say_together(level, events)
