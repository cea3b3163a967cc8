"""The guarantees that hold at every step of a simulation and at its end, as sentences that can be false."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from service.adapters.postgres.set_aside import LAST_LOOK
from service.domain.holds import Hold
from service.domain.messages import MOVES, EmailServiceName, Outcome, Status
from service.domain.planning import PlanningRules, desired_messages
from service.domain.suppressions import address_hash, is_suppression, may_write_to
from service.ports import Greeting
from tests.fakes.rows import ENDED, MessageRow, UserRow
from tests.fakes.truth import Truth
from tests.simulation import visited
from tests.simulation.post import Post

HELD_WITHIN = 1.0
"""Seconds after a hold was made at which no call that it covers begins any more."""

OWNERLESS_FOR = 15.0
"""Seconds of fair weather that a message may be `sending` without a living owner."""


Circuit: TypeAlias = tuple[int | None, EmailServiceName | None]
"""An incarnation, and one of its email services."""


class Violation(AssertionError):
    """A guarantee was broken."""


class WatchedTruth(Truth):
    """The tables, with an auditor that sees every move."""

    auditor: Auditor

    def move(self, row: MessageRow, **changes: Any) -> MessageRow:
        before = self.messages[row.id]
        after = super().move(row, **changes)
        self.auditor.moved(before, after)
        return after

    @contextmanager
    def transaction(self) -> Iterator[None]:
        states = Counter(self.auditor.states)
        try:
            with super().transaction():
                yield
        except Exception:
            self.auditor.states = states
            raise

    def put_hold(self, hold: Hold) -> None:
        super().put_hold(hold)
        self.auditor.held_at[hold.id] = self.auditor.time()

    def insert_message(self, *args: Any, **kwargs: Any) -> bool:
        made = super().insert_message(*args, **kwargs)
        self.auditor.states[Status.SCHEDULED] += made
        return made


@dataclass
class Auditor:
    """Looks on. `report` gets the first sentence that turned out to be false, and every one after it.

    `living` are the incarnations of which a process that runs knows; `rules` give the instant of each greeting.
    """

    truth: Truth
    post: Post
    fallback: Post
    rules: Callable[[], PlanningRules]
    time: Callable[[], float]
    living: Callable[[], frozenset[int]]
    report: Callable[[str], None]
    began: datetime
    late_limit: timedelta
    attempts: int
    circuit_failures: int
    only_to: Collection[str] | None
    set_back_at: float = 0.0
    """The second of the loop's clock at which the business clock was last set back."""
    claimed: dict[UUID, float] = field(default_factory=dict)
    """The second of the loop's clock at which each message was last claimed for sending."""
    ownerless: dict[tuple[UUID, int], float] = field(default_factory=dict)
    """Since when each claim has no owner who lives."""
    refusals: Counter[Circuit] = field(default_factory=Counter)
    """How many messages each incarnation has failed as refused by a service since one was last accepted."""
    refusals_since: dict[Circuit, float] = field(default_factory=dict)
    """When each incarnation last did so."""
    held_at: dict[UUID, float] = field(default_factory=dict)
    """The second of the loop's clock at which each hold was made."""
    visited: Counter[str] = field(default_factory=Counter)
    """The moves that were made, by their names in `visited`."""
    states: Counter[Status] = field(default_factory=Counter)
    """The number of messages in each state, by the moves that were made."""

    def moved(self, before: MessageRow, after: MessageRow) -> None:
        """A row was written."""
        if after.status is not before.status and after.status not in MOVES[before.status]:
            self.report(f"{after.id} moved from {before.status} to {after.status}")
        if after.status is not before.status:
            self.visited[visited.arc(before.status, after.status)] += 1
        self.states[before.status] -= 1
        self.states[after.status] += 1
        if after.status is Status.SENT and not self.post.accepted[after.id]:
            self.report(f"{after.id} is sent, and the service has never accepted it")
        if (before.user_id, before.occasion, before.local_year) != (after.user_id, after.occasion, after.local_year):
            self.report(f"{after.id} is about something else now")
        if after.status is Status.FAILED and before.status is not Status.FAILED:
            self._has_failed(before)
        if after.status is Status.SENDING and before.status is not Status.SENDING:
            self._was_claimed(after)
        if after.status is Status.CANCELLED and is_suppression(after.status_reason) and self._may_get(after):
            self.report(f"{after.id} was cancelled because of an address that may be written to")

    def _may_get(self, row: MessageRow) -> bool:
        user = self.truth.users[row.user_id]
        suppressed = self.truth.suppression_reason(address_hash(user.profile.email)) is not None
        return not suppressed and may_write_to(user.email_key, self.only_to)

    def _has_failed(self, row: MessageRow) -> None:
        """Only the service ends a message: it said no to it while it accepted others, beyond a bound for each node."""
        if row.id in self.post.refused:
            last_acceptance, circuit = max(self.post.accepted_at.values(), default=0.0), (row.claimed_by, row.service)
            if last_acceptance > self.refusals_since.get(circuit, 0.0):
                self.refusals[circuit] = 0
            self.refusals_since[circuit] = self.time()
            self.refusals[circuit] += 1
            if self.refusals[circuit] > self.circuit_failures:
                self.report(f"{row.id} failed, after {self.circuit_failures} others while the service accepted nobody")
            return
        calls = self.post.called[row.id]
        if len(calls) < self.attempts:
            self.report(f"{row.id} failed after {len(calls)} calls, and there may be {self.attempts}")
        others = [at for message, at in self.post.accepted_at.items() if message != row.id]
        if max(others, default=0.0) <= calls[0]:
            self.report(f"{row.id} failed, and the service accepted nobody since it was first called")

    def _was_claimed(self, row: MessageRow) -> None:
        self.claimed[row.id] = self.time()
        now, user = self.truth.now(), self.truth.users[row.user_id]
        if row.due_at > now:
            self.report(f"{row.id} was claimed {row.due_at - now} before it was due")
        if user.deleted_at is not None:
            self.report(f"{row.id} was claimed although its user is deleted")
        if not self._may_get(row):
            self.report(f"{row.id} was claimed although its address may not be written to")
        instant = self._instant(user, row.occasion, row.local_year)
        # A redriven message is sent because a person said so, also when the user has another day by now.
        # So is one that was handed out before a change of the rules has reached it, and one whose user came after the
        # new instant.
        replanned = {window.day.occasion for window, _ in self.truth.plan_ranges.values() if window.replans}
        occasion = self.truth.occasions[row.occasion]
        if not occasion.occasion.active:
            self.report(f"{row.id} was claimed although {row.occasion} is not active")
        since = self.truth.exists_since(user, row.occasion)
        keeps = (
            row.occasion in replanned
            or occasion.rules_version > self.truth.replanned_version
            or (instant is not None and since >= instant)
        )
        if instant != row.send_at and row.redriven_at is None and not keeps:
            self.report(f"{row.id} was claimed for {row.send_at}, and its user is to be greeted at {instant}")

    def _instant(self, user: UserRow, occasion: str, local_year: int) -> datetime | None:
        dates = {occasion: user.profile.dates.get(occasion)}
        middle = datetime(local_year, 7, 1, tzinfo=self.began.tzinfo)
        found = desired_messages(self.rules(), dates, user.profile.timezone, now=middle)
        return next((one.send_at for one in found if one.local_year == local_year), None)

    def called(self, greeting: Greeting, incarnation: int | None, *, unnoticed: bool = False) -> None:
        """A node calls the email service as that incarnation.

        `unnoticed`: its machine was paused just now, so the incarnation may have been ended. The outcome of the attempt
        that was taken over is unknown then, and on record as such.
        """
        row = self.truth.messages[greeting.id]
        now = self.truth.now()
        if now < row.send_at and self.claimed[row.id] >= self.set_back_at:
            self.report(f"the service was called for {row.id} {row.send_at - now} before its instant")
        if not unnoticed and (row.status is not Status.SENDING or row.claimed_by != incarnation):
            self.report(f"incarnation {incarnation} called the service for {row.id}, {row.status} of {row.claimed_by}")

        if not unnoticed:
            self._is_not_held(row)

    def _is_not_held(self, row: MessageRow) -> None:
        for hold in self.truth.active_holds():
            # A hold that had ended is active again when the clock was set back before its end.
            for_seconds = self.time() - max(self.held_at[hold.id], self.set_back_at)
            if hold.covers(row.occasion) and for_seconds > HELD_WITHIN:
                self.report(f"the service was called for {row.id}, {for_seconds:.3f} s after it was held")

    def accepted(self, message: UUID) -> None:
        """A service has accepted it, perhaps again: each time but one is that of an attempt that left a doubt.

        It was always the same service, redriven or not.
        """
        times, doubtful = self.post.accepted[message], len(self._attempts(message, Outcome.UNKNOWN))
        if times > 1 + doubtful:
            self.report(f"{message} was accepted {times} times, {doubtful} of its outcomes are unknown")
        if message in self.post.own and message in self.fallback.own:
            self.report(f"{message} was accepted by both services")

    def _attempts(self, message: UUID, outcome: Outcome) -> set[int]:
        """The numbers of its attempts with that outcome. One that left a doubt counts as unknown."""
        return {
            row.number
            for row in self.truth.attempts.values()
            if row.message_id == message and (row.outcome is outcome or (row.in_doubt and outcome is Outcome.UNKNOWN))
        }

    def _books(self) -> None:
        """The states add up, and what is known as accepted is settled, or is being sent."""
        rows = self.truth.messages
        if +self.states != (found := Counter(row.status for row in rows.values())):
            self.report(f"{dict(found)} are in each state, and by the moves that were made {dict(+self.states)}")
        for message in {one.message_id for one in self.truth.attempts.values() if one.outcome is Outcome.ACCEPTED}:
            row = rows[message]
            gone = row.status is Status.CANCELLED and self.truth.user(row.user_id) is None
            if row.status not in (Status.SENT, Status.SENDING) and not gone and message not in self.truth.set_aside:
                self.report(f"{message} is {row.status}, and an attempt of it is on record as accepted")

    def look(self, *, watched_since: float) -> None:
        """Every second. `watched_since`: from when on a node that lives could have seen everything."""
        self._books()
        living, now = self.living(), self.time()
        ownerless = {
            (row.id, row.attempt): self.ownerless.get((row.id, row.attempt), now)
            for row in self.truth.in_state(Status.SENDING)
            if row.claimed_by not in living and not self._cannot_change(row.id)
        }
        self.ownerless = ownerless
        for (message, attempt), since in ownerless.items():
            if (seconds := now - max(since, watched_since)) > OWNERLESS_FOR:
                self.report(f"{message} has been sending its attempt {attempt} for {seconds:.1f} s without an owner")

    def resumed(self, incarnation: int | None) -> None:
        """A node that stood still goes on: its claims have an owner again, even if it stops before the next look."""
        rows = self.truth.messages
        self.ownerless = {
            claim: since for claim, since in self.ownerless.items() if rows[claim[0]].claimed_by != incarnation
        }

    def _cannot_change(self, message: UUID) -> bool:
        return message in self.truth.damaged or self.truth.is_set_aside(message)

    def set_aside_for(self) -> float:
        """Seconds until the last of the damaged rows must be looked at again, however the clock was set."""
        ahead = [row.look_again_at - self.truth.now() for row in self.truth.set_aside.values()]
        seconds = [one / self.truth.business(1.0) for one in ahead if one > timedelta()]
        return min(max(seconds, default=0.0), LAST_LOOK)

    def unsettled(self) -> list[str]:
        """Return the sentences about work that is left. Without faults, none are left in the end."""
        now = self.truth.now()
        found = [
            f"{row.id} is {row.status}, due at {row.due_at}, and it is {now}"
            for row in self.truth.messages.values()
            if row.status not in ENDED
            and row.id not in self.truth.damaged
            and (row.due_at <= now or row.status in (Status.QUEUED, Status.SENDING))
        ]
        if self.truth.plan_ranges and not self.truth.damaged:
            found.append(f"{len(self.truth.plan_ranges)} ranges are not planned")
        if self.truth.planned_until <= now:
            found.append(f"planned up to {self.truth.planned_until}, and it is {now}")
        return found + self._missing(now)

    def _missing(self, now: datetime) -> list[str]:
        """Greetings of which no row says anything."""
        there = {(row.user_id, row.occasion, row.local_year) for row in self.truth.messages.values()}
        found = []
        for user in self.truth.users.values():
            if user.deleted_at is not None:
                continue
            for one in desired_messages(self.rules(), user.profile.dates, user.profile.timezone, now=now):
                # What an edit moved further back than the limit is not made good.
                # Nor is what other rules did, counted from when messages were planned again.
                occasion = self.truth.occasions[one.occasion]
                changed = occasion.rules_changed_at is not None or self.truth.defaults_were_replaced
                changed_at = self.truth.replanned_at if changed else self.began
                earliest = max(
                    self.truth.exists_since(user, one.occasion),
                    self.began,
                    max(user.updated_at, changed_at) - self.late_limit,
                )
                if one.send_at is None or not earliest < one.send_at <= now:
                    continue
                if (user.id, one.occasion, one.local_year) not in there:
                    found.append(f"{one.occasion} of {user.id} at {one.send_at} has no message")
        return found

    def at_the_end(self) -> None:
        """Compare the service's log with the rows, after all is settled."""
        self._books()
        keys = [(row.user_id, row.occasion, row.local_year) for row in self.truth.messages.values()]
        if len(keys) != len(set(keys)):
            self.report("a user has two messages of one occasion and year")
        for message, times in self.post.accepted.items():
            self.accepted(message)
            known = self._attempts(message, Outcome.UNKNOWN) | self._attempts(message, Outcome.ACCEPTED)
            if times > len(known):
                self.report(f"{message} was accepted {times} times, and has {len(known)} such attempts")
