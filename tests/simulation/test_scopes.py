"""Small scopes walked whole: every order of steps, with every fault; and each guard that is taken away is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import pytest

from actors.delivery.result_writer import Acknowledge, Flush, Record, ResultWriter
from actors.dispatcher import Dispatcher
from service.domain.messages import Status
from service.ports import Due, Entry
from tests.fakes.messages import FakeMessages
from tests.simulation import small_world
from tests.simulation.mistakes import (
    claims_what_others_have,
    forgets_unknown_outcomes,
    frees_nothing,
    loses_a_move,
    takes_no_answer_for_yes,
    takes_nothing_back,
)
from tests.simulation.scopes import Scope, follow, walk
from tests.simulation.small_world import Choice, SmallWorld

Patch = pytest.MonkeyPatch

Path: TypeAlias = tuple[tuple[str, int], ...]
"""The names of choices, each with the number of those before it that had the same name."""


def ignores_the_fencing_token(patch: Patch) -> None:
    """A ticker whose lock has expired claims all the same."""
    claim = FakeMessages.claim_due

    async def careless(self: FakeMessages, *, fence: int, **others: Any) -> Due:
        tokens = self._truth.fencing_tokens
        tokens["ticker"] = min(tokens["ticker"], fence)
        return await claim(self, fence=fence, **others)

    patch.setattr(FakeMessages, "claim_due", careless)


def acknowledges_before_the_record(patch: Patch) -> None:
    """A bundle leaves the queue before the outcomes of its messages are written."""
    receive = ResultWriter.receive

    async def hasty(self: ResultWriter, message: Record | Acknowledge | Flush) -> None:
        if isinstance(message, Record):
            await self._queue.acknowledge(message.in_flight.delivery)
        await receive(self, message)

    patch.setattr(ResultWriter, "receive", hasty)


def finishes_before_the_confirm(patch: Patch) -> None:
    """An entry leaves the stream before its bundles are in the queue."""
    work_on = Dispatcher.work_on

    async def hasty(self: Dispatcher, entries: list[Entry]) -> None:
        await self._stream.finish(entries)
        await work_on(self, entries)

    patch.setattr(Dispatcher, "work_on", hasty)


def claims_what_was_sent(patch: Patch) -> None:
    """The claim for sending does not look at what has become of a message."""
    claim = FakeMessages.claim_for_sending

    async def careless(self: FakeMessages, ids: Sequence[Any], **others: Any) -> Any:
        for one in ids:
            row = self._truth.messages[one]
            if row.status is Status.SENT:
                self._truth.messages[one] = replace(row, status=Status.QUEUED, ended_at=None)
        return await claim(self, ids, **others)

    patch.setattr(FakeMessages, "claim_for_sending", careless)


ALONE = Scope(nodes=1, messages=1, faults=1)
DIES = Scope(nodes=2, messages=1, faults=1, only="dies")
SLOW = Scope(nodes=2, messages=2, faults=1, only="slow", apart=True)

GUARDS: dict[Callable[[Patch], None], Scope] = {
    acknowledges_before_the_record: ALONE,
    finishes_before_the_confirm: ALONE,
    loses_a_move: ALONE,
    forgets_unknown_outcomes: ALONE,
    takes_no_answer_for_yes: ALONE,
    frees_nothing: ALONE,
    takes_nothing_back: ALONE,
    claims_what_was_sent: ALONE,
    claims_what_others_have: DIES,
    ignores_the_fencing_token: SLOW,
}
"""Each guard that is taken away, with a scope in which it is missed."""


def test_one_node_and_one_message_in_every_order_with_every_fault() -> None:
    """More nodes, messages and faults: python -m tests.simulation.scopes."""
    found = walk(Scope(nodes=1, messages=1, faults=1))

    assert found.broken == []
    assert found.whole
    # A walk that ended early would break nothing either.
    assert found.states > 200


def test_two_nodes_in_every_order() -> None:
    """Without a fault every order ends in the same way."""
    found = walk(Scope(nodes=2, messages=2, faults=0))

    assert found.broken == []
    assert found.whole


CLAIMED_AGAIN = (
    "node-1 is evicted, node-1 claim_due, node-2 requeue_claim, node-1 append, node-1 read, all is slow, "
    "node-2 release_claims, node-1 publish, node-1 claim_for_sending, node-1 acknowledge, node-1 claim_due, "
    "node-2 claim_due, node-1 finish",
    "node-1 is evicted, node-1 claim_due, node-2 requeue_claim, all is slow, node-1 append, node-1 read, "
    "node-1 publish, node-1 claim_for_sending, node-1 acknowledge, node-2 release_claims, node-2 claim_due, "
    "node-1 finish",
)
"""Orders with two faults in which a message is claimed again before the entry of its first claim is finished."""


@pytest.mark.parametrize("order", CLAIMED_AGAIN)
def test_an_entry_of_an_earlier_claim_may_be_finished(order: str) -> None:
    """The entry of the later claim has the message. It is sent once in the end."""
    assert follow(Scope(nodes=2, messages=1, faults=2), order.split(", ")) == []


def test_to_take_a_step_first_that_commutes_hides_no_outcome(monkeypatch: Patch) -> None:
    """Otherwise what is called whole would not be."""
    for scope in (Scope(nodes=2, messages=2, faults=0), Scope(nodes=1, messages=1, faults=1, only="lost")):
        reduced = walk(scope)
        with monkeypatch.context() as patch:
            patch.setattr(small_world, "COMMUTES", frozenset())
            every_order = walk(scope)

        assert (reduced.whole, every_order.whole) == (True, True)
        assert reduced.states < every_order.states
        assert reduced.outcomes == every_order.outcomes


@pytest.mark.parametrize("scope", [ALONE, pytest.param(DIES, marks=pytest.mark.nightly)], ids=["one node", "two nodes"])
def test_equal_states_have_equal_futures(scope: Scope, monkeypatch: Patch) -> None:
    """Otherwise a state that is not entered again could have led to one that is never visited."""
    reduced = walk(scope)
    digest, choices = SmallWorld.state, SmallWorld.choices
    paths: WeakKeyDictionary[SmallWorld, Path] = WeakKeyDictionary()
    states: dict[Path, bytes] = {}
    futures: dict[tuple[bytes, tuple[str, int]], bytes] = {}

    def noted(world: SmallWorld) -> list[Choice]:
        found = choices(world)

        def happens(place: int) -> None:
            one = found[place]
            nth = sum(other.name == one.name for other in found[:place])
            paths[world] = (*paths.get(world, ()), (one.name, nth))
            one.happens()

        return [replace(one, happens=partial(happens, place)) for place, one in enumerate(found)]

    def compared(world: SmallWorld) -> bytes:
        path, state = paths.get(world, ()), digest(world)
        states[path] = state
        if path:
            assert futures.setdefault((states[path[:-1]], path[-1]), state) == state
        return repr(path).encode()  # as if no state were met again

    monkeypatch.setattr(SmallWorld, "choices", noted)
    monkeypatch.setattr(SmallWorld, "state", compared)
    every_order = walk(scope)

    assert every_order.whole
    assert reduced.states < every_order.states / 2
    assert reduced.outcomes == every_order.outcomes


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_a_guard_that_is_taken_away_is_found(guard: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """A walk that finds nothing proves nothing unless it finds these."""
    guard(monkeypatch)

    assert walk(GUARDS[guard]).broken
