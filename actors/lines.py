"""The canonical lines of greetings that moved without an attempt that somebody reports: too late, or their node died.

Those of reported attempts are in actors.delivery.lines; docs/reference/logs.md lists the fields, which are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from service.domain.messages import Outcome, Status
from service.ports import Moved
from service.telemetry.logs import say_together

AT_ONCE = 500
"""Lines between two turns of the event loop: what was a day in waiting must not hold up what is due now."""

LOST = frozenset({Status.FAILED, Status.EXPIRED})
"""States in which nobody is greeted unless somebody does something: a warning."""


async def say_what_moved(actor: str, moved: Sequence[Moved]) -> None:
    """A line for each, said by the actor that moved it."""
    for first in range(0, len(moved), AT_ONCE):
        some = moved[first : first + AT_ONCE]
        for level, lost in (("info", False), ("warning", True)):
            say_together(level, [_line(actor, one) for one in some if (one.status in LOST) == lost])
        await asyncio.sleep(0)


def _line(actor: str, moved: Moved) -> dict[str, object]:
    # One that expires had no attempt now; one that is freed had, and nobody knows what came of it.
    expired = moved.status is Status.EXPIRED
    return {
        "event": f"greeting_{moved.status.value}",
        "message": str(moved.id),
        "occasion": moved.occasion,
        "attempt": moved.attempt,
        "outcome": "not_attempted" if expired else Outcome.UNKNOWN.value,
        "status_code": None,
        "seconds": None,
        "lateness": None,
        "recorded": True,
        "actor": actor,
    }
