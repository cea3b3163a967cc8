"""Mistakes that the product could have, each made on purpose, to see that the simulation finds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from actors.recovery import Recovery
from actors.watchman import STALLED, Watchman
from service.domain.messages import Outcome, Status
from service.domain.retry import Verdict, verdict
from service.ports import Claimed, Result
from tests.fakes import user_messages
from tests.fakes.messages import FakeMessages
from tests.fakes.rows import AttemptRow
from tests.fakes.truth import Truth

Patch = pytest.MonkeyPatch


def claims_what_is_not_due(patch: Patch) -> None:
    """The claim for sending trusts whoever handed the message out."""
    claim = FakeMessages.claim_for_sending

    async def careless(self: FakeMessages, ids: Sequence[UUID], *, incarnation: int) -> list[Claimed]:
        truth, now = self._truth, self._truth.now
        patch.setattr(truth, "now", lambda: datetime.max.replace(tzinfo=now().tzinfo))
        try:
            return await claim(self, ids, incarnation=incarnation)
        finally:
            patch.setattr(truth, "now", now)

    patch.setattr(FakeMessages, "claim_for_sending", careless)


def claims_what_others_have(patch: Patch) -> None:
    """The claim for sending is no compare-and-set: what is being sent is claimed once more."""
    named = Truth.named

    def also_sending(self: Truth, ids: Any, *statuses: Status) -> Any:
        more = (Status.SENDING,) if statuses == (Status.QUEUED,) else ()
        return named(self, ids, *statuses, *more)

    patch.setattr(Truth, "named", also_sending)


def frees_nothing(patch: Patch) -> None:
    """What a dead node was sending stays so."""

    async def nothing(*_: object) -> int:
        return 0

    patch.setattr(Watchman, "_free_claims", nothing)
    patch.setattr(Recovery, "_free_claims", nothing)


def is_kept_from_looking(patch: Patch) -> None:
    """The look at the others' hearts waits for something that is slow, and forgets what it saw before."""
    look = Watchman._look

    async def late(self: Watchman) -> None:
        await asyncio.sleep(STALLED + 1)
        await look(self)

    patch.setattr(Watchman, "_look", late)


def forgets_unknown_outcomes(patch: Patch) -> None:
    """A claim is freed as if the attempt had not been made."""
    log = Truth.log_attempt

    def forgetful(self: Truth, row: AttemptRow) -> None:
        if row.outcome is not Outcome.UNKNOWN:
            log(self, row)

    patch.setattr(Truth, "log_attempt", forgetful)


def takes_nothing_back(patch: Patch) -> None:
    """What was lost on its way is not found again from the rows."""

    async def nothing(*_: object) -> int:
        return 0

    patch.setattr(Recovery, "_take_back_lost", nothing)


def hands_out_ranges_once(patch: Patch) -> None:
    """A range whose entry was lost is never planned."""

    async def nothing(*_: object, **__: object) -> int:
        return 0

    patch.setattr(Recovery, "_hand_out_ranges", nothing)


def takes_no_answer_for_yes(patch: Patch) -> None:
    """A connection lost is taken for an acceptance."""

    def hopeful(answer: Any, *others: Any) -> Verdict:
        if answer.outcome is Outcome.UNKNOWN:
            answer = replace(answer, outcome=Outcome.ACCEPTED)
        return verdict(answer, *others)

    patch.setattr("actors.delivery.sender.verdict", hopeful)


def retries_at_once_and_early(patch: Patch) -> None:
    """The record puts the next attempt where the clock is, whatever the instant."""
    move = Truth.move

    def early(self: Truth, row: Any, **changes: Any) -> Any:
        if changes.get("status") is Status.RETRYING:
            changes["send_at"] = changes["due_at"] = self.now() - timedelta(seconds=1)
        return move(self, row, **changes)

    patch.setattr(Truth, "move", early)


def does_not_see_edits(patch: Patch) -> None:
    """An edit of a user to whom a greeting is being sent is not seen by what follows the attempt."""
    patch.setattr(user_messages, "_after_the_attempt", lambda *_: None)


def trusts_the_clock_to_go_on(patch: Patch) -> None:
    """What was queued before the clock was set back waits until it is there again."""
    patch.setattr(FakeMessages, "_since", lambda _self, at, before: at is not None and at < before)


def ignores_late_acceptances(patch: Patch) -> None:
    """What the service answered is logged, and moves only the claim that it belongs to."""
    settle = FakeMessages._settle

    def strict(self: FakeMessages, result: Result) -> Any:
        row = self._truth.messages[result.claim.id]
        return settle(self, result) if row.status is Status.SENDING else None

    patch.setattr(FakeMessages, "_settle", strict)


def loses_a_move(patch: Patch) -> None:
    """A row changes by no statement that anybody knows: here, what was sent is scheduled again."""
    record = FakeMessages.record

    async def careless(self: FakeMessages, results: Sequence[Result], *, at: float) -> Any:
        recorded = await record(self, results, at=at)
        for one in recorded:
            row = self._truth.messages[one.id]
            if one.status is Status.SENT:
                self._truth.messages[one.id] = replace(row, status=Status.SCHEDULED, ended_at=None)
        return recorded

    patch.setattr(FakeMessages, "record", careless)


MISTAKES: dict[Callable[[Patch], None], tuple[str, ...]] = {
    claims_what_is_not_due: ("jump_back",),
    claims_what_others_have: ("cut_broker", "kill"),
    frees_nothing: ("kill",),
    is_kept_from_looking: ("kill",),
    forgets_unknown_outcomes: ("kill", "mood"),
    takes_nothing_back: ("jump_back",),
    hands_out_ranges_once: ("flush", "kill_all"),
    takes_no_answer_for_yes: ("mood",),
    retries_at_once_and_early: ("mood",),
    does_not_see_edits: ("edit",),
    trusts_the_clock_to_go_on: ("jump_back",),
    loses_a_move: ("kill",),
}
"""Each with the kinds of events that bring it out, and do so often; rarer ones are found by seeds that are kept."""
