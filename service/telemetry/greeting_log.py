"""The log lines of greetings: one for each attempt, and one for each message that moved without an attempt.

Both have the same fields. docs/reference/logs.md lists them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from service.domain.messages import Answer, Outcome, Status
from service.ports import Claimed, Moved, Recorded, Result
from service.telemetry.logs import log_batch

LINES_PER_YIELD = 500
"""Lines between two yields to the event loop: a backlog of a day must not delay what is due now."""

LOST = frozenset({Status.FAILED, Status.EXPIRED})
"""States in which the greeting does not leave unless a person acts: logged as a warning."""

TOO_LATE = {
    Status.EXPIRED: "too late to send",
    Status.UNKNOWN: "too late to send, and the email service may have the message",
}
CLAIM_LOST = "its node died, or lost it while it was sending"
"""Why a message moved without an attempt of its own."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt for the log: the claim, its result, and the name of the sender; `trace_id` if it was traced."""

    claimed: Claimed
    result: Result
    actor: str
    trace_id: str | None


def log_attempts(attempts: Iterable[Attempted], recorded: Sequence[Recorded]) -> None:
    """Log a line for each attempt of a batch; those in `recorded` decided the state of their message."""
    by_id = {one.id: one for one in recorded}
    lines: defaultdict[str, list[dict[str, object]]] = defaultdict(list)
    for attempt in attempts:
        claim, answer = attempt.result.claim, attempt.result.answer
        moved = by_id.get(claim.id)
        status = moved.status if moved is not None else attempt.result.status
        lines["warning" if status is Status.FAILED else "info"].append(
            {
                "event": f"greeting_{status.value}",
                "message": str(claim.id),
                "occasion": attempt.claimed.occasion,
                "attempt": claim.attempt,
                "service": claim.service.value,
                "outcome": answer.outcome.value if answer is not None else "not_attempted",
                "status_code": answer.status_code if answer is not None else None,
                "seconds": round(answer.duration, 6) if answer is not None and answer.called else None,
                # If an earlier attempt was the accepted one, its start is not known here.
                "lateness": round(moved.lateness, 3) if moved is not None and (not answer or answer.called) else None,
                "recorded": moved is not None,
                "actor": attempt.actor,
                **(_said(answer) if answer is not None else {"reason": attempt.result.reason}),
                **({"trace_id": attempt.trace_id} if attempt.trace_id is not None else {}),
            }
        )
    for level, events in lines.items():
        log_batch(level, events)


def _said(answer: Answer) -> dict[str, object]:
    """The text of the service: why it did not accept, or its own id of the message."""
    if answer.error is not None:
        return {"error": answer.error}
    return {"provider_id": answer.provider_id} if answer.provider_id is not None else {}


async def log_too_late(actor: str, moved: Sequence[Moved]) -> None:
    """Log a line for each message that `actor` found too late to send: expired, or unknown by an earlier attempt."""
    await _log_moved(moved, lambda one: _line(actor, one, "not_attempted", TOO_LATE[one.status]))


async def log_claims_lost(actor: str, moved: Sequence[Moved]) -> None:
    """Log a line for each message whose claim `actor` released: it had an attempt, and its outcome is not known."""
    await _log_moved(moved, lambda one: _line(actor, one, Outcome.UNKNOWN.value, CLAIM_LOST))


async def _log_moved(moved: Sequence[Moved], line: Callable[[Moved], dict[str, object]]) -> None:
    for first in range(0, len(moved), LINES_PER_YIELD):
        some = moved[first : first + LINES_PER_YIELD]
        for level, lost in (("info", False), ("warning", True)):
            log_batch(level, [line(one) for one in some if (one.status in LOST) == lost])
        await asyncio.sleep(0)


def _line(actor: str, moved: Moved, outcome: str, reason: str) -> dict[str, object]:
    return {
        "event": f"greeting_{moved.status.value}",
        "message": str(moved.id),
        "occasion": moved.occasion,
        "attempt": moved.attempt,
        "outcome": outcome,
        "status_code": None,
        "seconds": None,
        "lateness": None,
        "recorded": True,
        "actor": actor,
        "reason": reason,
    }
