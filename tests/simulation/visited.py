"""What a run of stories must have visited: arcs of the state machine, failpoints, steps of recovery, faults, moods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from actors.failpoints import Failpoint
from service.domain.messages import MOVES, Status
from tests.simulation.network import FATES
from tests.simulation.post import Mood

RESTORED_ONLY = frozenset({(Status.SCHEDULED, Status.UNKNOWN), (Status.QUEUED, Status.UNKNOWN)})
"""Arcs that only the adoption of a restored database takes; tests/node/test_restored.py shows them."""

LATE_ACCEPTANCES = frozenset(
    (before, Status.SENT)
    for before in MOVES
    if Status.SENT in MOVES[before] and before not in (Status.SENDING, Status.UNKNOWN)
)
"""Arcs of an acceptance that is recorded after its claim was released: too rare for stories that are drawn at random.
tests/service/adapters/postgres/test_record.py shows each."""

RECOVERY_STEPS = ("claims_released", "entries_requeued", "messages_requeued", "ranges_appended", "dead_lettered")
"""The steps of a pass of recovery, by the fields of its log event `recovered`."""

ENOUGH_SEEDS = 5_000
"""Seeds of which each arc, failpoint, step and fault must have a visit; fewer may miss a rare one."""


def arc(before: Status, after: Status) -> str:
    """The name of a move."""
    return f"arc {before} to {after}"


def failpoint(reached: Failpoint) -> str:
    """The name of a step that a node has taken."""
    return f"failpoint {reached}"


def recovery(step: str) -> str:
    """The name of a step of recovery that moved something."""
    return f"recovery {step}"


def fault(kind: str) -> str:
    """The name of a kind of event."""
    return f"event {kind}"


def fate(name: str) -> str:
    """The name of what the network did to a call."""
    return f"call {name}"


def mood(name: Mood) -> str:
    """The name of a state in which the email service was called."""
    return f"email service {name}"


def wanted(kinds: tuple[str, ...]) -> Iterator[str]:
    """Everything that stories of these kinds of events can visit, in the order of the table."""
    yield from (
        arc(one, to) for one in MOVES for to in sorted(MOVES[one]) if (one, to) not in RESTORED_ONLY | LATE_ACCEPTANCES
    )
    yield from map(failpoint, Failpoint)
    yield from map(recovery, RECOVERY_STEPS)
    yield from (fault(kind) for kind in dict.fromkeys(kinds))
    yield from map(fate, FATES)
    yield from map(mood, Mood)


def table(visits: Counter[str], stories: Counter[str], kinds: tuple[str, ...]) -> list[str]:
    """A row for each thing: its visits, and the number of stories with one."""
    return [f"{name:40} {visits[name]:9,} {stories[name]:7,}" for name in wanted(kinds)]


def missing(visits: Counter[str], kinds: tuple[str, ...]) -> list[str]:
    """What no story has visited."""
    return [name for name in wanted(kinds) if not visits[name]]
