"""Mistakes that the product could have, each made on purpose, to see that the simulation finds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from actors.failure_detector import OBSERVER_STALLED, FailureDetector
from actors.recovery import Recovery
from actors.ticker import LOCK, LOCK_TTL, Ticker
from service.domain.messages import Outcome, Status
from service.domain.retry import NextStep, next_step
from service.domain.service_health import ServiceHealth
from service.node import sending_holds
from service.ports import Claimed, Result
from service.ports.messages import HELD
from tests.fakes import user_messages
from tests.fakes.messages import FakeMessages
from tests.fakes.planning import FakePlanning
from tests.fakes.rows import AttemptRow, MessageRow, UserRow
from tests.fakes.truth import Truth

Patch = pytest.MonkeyPatch


def claims_what_is_not_due(patch: Patch) -> None:
    """The claim for sending trusts the ticker that handed the message out."""
    claim = FakeMessages.claim_for_sending

    async def careless(
        self: FakeMessages, ids: Sequence[UUID], *, incarnation: int, token: int | None = None
    ) -> list[Claimed]:
        truth, now = self._truth, self._truth.now
        patch.setattr(truth, "now", lambda: datetime.max.replace(tzinfo=now().tzinfo))
        try:
            return await claim(self, ids, incarnation=incarnation, token=token)
        finally:
            patch.setattr(truth, "now", now)

    patch.setattr(FakeMessages, "claim_for_sending", careless)


def claims_what_others_have(patch: Patch) -> None:
    """The claim for sending is no compare-and-set: what is being sent is claimed once more."""
    named = Truth.named

    def also_sending(self: Truth, ids: Any, *statuses: Status) -> Any:
        rows = list(named(self, ids, *statuses))
        if statuses != (Status.QUEUED, Status.SENDING):
            return rows
        # As if each of them were still queued.
        return [self.move(row, status=Status.QUEUED, claimed_by=None) for row in rows]

    patch.setattr(Truth, "named", also_sending)


def frees_nothing(patch: Patch) -> None:
    """The messages that a dead node was sending stay `sending`."""

    async def nothing(*_: object) -> int:
        return 0

    patch.setattr(FailureDetector, "_release_claims", nothing)
    patch.setattr(Recovery, "_release_claims", nothing)


def is_kept_from_looking(patch: Patch) -> None:
    """The look at the others' hearts waits for something that is slow, and forgets what it saw before.

    The simulation found it in heyday, where recovery waited for slow Redis: the claims of a dead node were freed late.
    """
    look = FailureDetector._end_dead

    async def late(self: FailureDetector) -> Sequence[int]:
        await asyncio.sleep(OBSERVER_STALLED + 1)
        return await look(self)

    patch.setattr(FailureDetector, "_end_dead", late)


def forgets_unknown_outcomes(patch: Patch) -> None:
    """A claim is freed as if the attempt had not been made."""
    log = Truth.log_attempt

    def forgetful(self: Truth, row: AttemptRow) -> None:
        if row.outcome is not Outcome.UNKNOWN:
            log(self, row)

    patch.setattr(Truth, "log_attempt", forgetful)


def takes_nothing_back(patch: Patch) -> None:
    """Messages whose entry was lost are not found again from the rows."""

    async def nothing(*_: object) -> int:
        return 0

    patch.setattr(Recovery, "_requeue_lost", nothing)


def hands_out_ranges_once(patch: Patch) -> None:
    """A range whose entry was lost is never planned."""

    async def nothing(*_: object, **__: object) -> int:
        return 0

    patch.setattr(Recovery, "_hand_out_ranges", nothing)


def takes_no_answer_for_yes(patch: Patch) -> None:
    """A connection lost is taken for an acceptance."""

    def hopeful(answer: Any, *others: Any) -> NextStep:
        if answer.outcome is Outcome.UNKNOWN:
            answer = replace(answer, outcome=Outcome.ACCEPTED)
        return next_step(answer, *others)

    patch.setattr("actors.delivery.sender.next_step", hopeful)


def retries_at_once_and_early(patch: Patch) -> None:
    """The record puts the next attempt where the clock is, before the instant of the message."""
    move = Truth.move

    def early(self: Truth, row: Any, **changes: Any) -> Any:
        if changes.get("status") is Status.RETRYING:
            changes["send_at"] = changes["due_at"] = self.now() - timedelta(seconds=1)
        return move(self, row, **changes)

    patch.setattr(Truth, "move", early)


def does_not_see_edits(patch: Patch) -> None:
    """An edit of a user to whom a greeting is being sent is not seen by what follows the attempt.

    The simulation found it in heyday: the next attempt was made for the day before.
    """
    patch.setattr(user_messages, "_after_the_attempt", lambda *_: None)


def trusts_the_clock_to_go_on(patch: Patch) -> None:
    """A message queued before the clock was set back waits until the clock is there again.

    The simulation found it in heyday.
    """
    patch.setattr(FakeMessages, "_since", lambda _self, at, before: at is not None and at < before)


def ignores_late_acceptances(patch: Patch) -> None:
    """The service's answer is logged, and moves only the claim that it belongs to.

    The simulation found it in heyday: a paused node reported an answer late, and the row waited for a person.
    """
    settle = FakeMessages._settle

    def strict(self: FakeMessages, result: Result) -> Any:
        row = self._truth.messages[result.claim.id]
        return settle(self, result) if row.status is Status.SENDING else None

    patch.setattr(FakeMessages, "_settle", strict)


def loses_a_move(patch: Patch) -> None:
    """A row changes outside all statements: a sent message is scheduled again."""
    record = FakeMessages.record

    async def careless(self: FakeMessages, results: Sequence[Result], *, at: float) -> Any:
        recorded = await record(self, results, at=at)
        for one in recorded:
            row = self._truth.messages[one.id]
            if one.status is Status.SENT:
                self._truth.messages[one.id] = replace(row, status=Status.SCHEDULED, ended_at=None)
        return recorded

    patch.setattr(FakeMessages, "record", careless)


def blames_the_message(patch: Patch) -> None:
    """Every answer is taken for one about its message, although the service accepts no message."""
    patch.setattr(ServiceHealth, "judge", lambda _self, answer, **_: answer)


def gives_what_is_in_doubt_to_the_other_service(patch: Patch) -> None:
    """The fallback service gets a message although the primary one may have taken it."""
    patch.setattr(FakeMessages, "_pinned_to", lambda _self, _row: None)


def calls_what_is_held(patch: Patch) -> None:
    """The claim does not look at the holds, and a node trusts the reading that it has, however old it is."""
    left_out = FakeMessages._left_out

    def careless(self: FakeMessages, row: MessageRow, user: UserRow) -> tuple[str, dict[str, Any]]:
        verdict = left_out(self, row, user)
        return ("", {}) if verdict[0] == HELD else verdict

    patch.setattr(FakeMessages, "_left_out", careless)
    patch.setattr(sending_holds, "MAX_AGE", 1e9)
    patch.setattr("actors.holds_reader.READ_INTERVAL", 30.0)


def sends_to_anybody(patch: Patch) -> None:
    """The claim for sending does not look at the address."""
    patch.setattr(FakeMessages, "_left_out", lambda *_: ("", {}))


def holds_an_occasion_for_one_row(patch: Patch) -> None:
    """A range that failed at one row is as young as its last try, so that its occasion waits for it for ever."""

    def postpone(self: FakePlanning, range_id: int, _reason: str) -> None:
        window, _ = self._truth.plan_ranges[range_id]
        self._truth.plan_ranges[range_id] = (window, self._truth.real_now())

    patch.setattr(FakePlanning, "_postpone", postpone)


def waits_for_a_clock_that_was_set_back(patch: Patch) -> None:
    """A row is looked at again at the instant that was written, also when the clock was set back since."""

    def left_out(self: Truth, subject: UUID) -> bool:
        row = self.set_aside.get(subject)
        return row is not None and row.look_again_at > self.now()

    patch.setattr(Truth, "is_set_aside", left_out)


def keeps_the_lock_without_work(patch: Patch) -> None:
    """A ticker that cannot reach PostgreSQL goes on renewing its lock, so that no other ticker may work."""
    read_clock = Ticker._read_clock

    async def renewing(self: Ticker, *, next_due: bool) -> None:
        if self._token is not None:
            await self._locks.renew(LOCK, self._token, ttl=4 * LOCK_TTL)
        await read_clock(self, next_due=next_due)

    patch.setattr(Ticker, "_read_clock", renewing)


def lets_one_row_stop_the_others(patch: Patch) -> None:
    """A statement for many messages fails as a whole at a row that cannot be changed."""
    patch.setattr(FakeMessages, "_try", lambda self, _action, row, **changes: self._truth.move(row, **changes))


MISTAKES: dict[Callable[[Patch], None], tuple[str, ...]] = {
    claims_what_is_not_due: ("jump_back",),
    claims_what_others_have: ("cut_broker", "kill"),
    frees_nothing: ("kill",),
    is_kept_from_looking: ("kill",),
    forgets_unknown_outcomes: ("kill", "mood"),
    takes_nothing_back: ("swallow",),
    hands_out_ranges_once: ("flush", "kill_all"),
    takes_no_answer_for_yes: ("mood",),
    retries_at_once_and_early: ("mood",),
    does_not_see_edits: ("edit",),
    trusts_the_clock_to_go_on: ("jump_back",),
    ignores_late_acceptances: ("pause",),
    loses_a_move: ("kill",),
    blames_the_message: ("long_outage",),
    gives_what_is_in_doubt_to_the_other_service: ("mood",),
    calls_what_is_held: ("hold", "mood"),
    sends_to_anybody: ("suppress",),
    lets_one_row_stop_the_others: ("damage",),
    holds_an_occasion_for_one_row: ("damage", "change_occasion"),
    waits_for_a_clock_that_was_set_back: ("damage", "jump_back"),
    keeps_the_lock_without_work: ("break_link",),
}
"""Each with the kinds of events that bring it out, and do so often; rarer ones are found by seeds that are kept."""
