"""What must hold at every step of a simulation and at its end: the guarantees, as sentences that can be false."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from service.domain.messages import MOVES, Outcome, Status
from service.planning import Rules, wanted
from service.ports import Greeting
from tests.fakes.rows import ENDED, MessageRow, UserRow
from tests.fakes.truth import Truth
from tests.simulation.post import Post

OWNERLESS_FOR = 15.0
"""Seconds of fair weather that a message may be `sending` while nobody who lives owns it."""


class Violation(AssertionError):
    """A guarantee was broken."""


class WatchedTruth(Truth):
    """The tables, with somebody who looks at every move."""

    auditor: Auditor

    def move(self, row: MessageRow, **changes: Any) -> MessageRow:
        before = self.messages[row.id]
        after = super().move(row, **changes)
        self.auditor.moved(before, after)
        return after

    def insert_message(self, *args: Any, **kwargs: Any) -> bool:
        made = super().insert_message(*args, **kwargs)
        self.auditor.states[Status.SCHEDULED] += made
        return made


@dataclass
class Auditor:
    """Looks on. `report` gets the first sentence that turned out to be false, and every one after it.

    `living` are the incarnations of which a process that runs knows; `rules` say when everybody is to be greeted.
    """

    truth: Truth
    post: Post
    rules: Rules
    time: Callable[[], float]
    living: Callable[[], frozenset[int]]
    report: Callable[[str], None]
    began: datetime
    late_limit: timedelta
    set_back_at: float = 0.0
    """When the business clock was last set back, by the loop's clock."""
    claimed: dict[UUID, float] = field(default_factory=dict)
    """When each message was last claimed for sending, by the loop's clock."""
    ownerless: dict[tuple[UUID, int], float] = field(default_factory=dict)
    """Since when each claim has no owner who lives."""
    states: Counter[Status] = field(default_factory=Counter)
    """How many messages are in each state, by the moves that were made."""

    def moved(self, before: MessageRow, after: MessageRow) -> None:
        """A row was written."""
        if after.status is not before.status and after.status not in MOVES[before.status]:
            self.report(f"{after.id} moved from {before.status} to {after.status}")
        self.states[before.status] -= 1
        self.states[after.status] += 1
        if after.status is Status.SENT and not self.post.accepted[after.id]:
            self.report(f"{after.id} is sent, and the service has never accepted it")
        if (before.user_id, before.occasion, before.local_year) != (after.user_id, after.occasion, after.local_year):
            self.report(f"{after.id} is about something else now")
        if after.status is Status.SENDING and before.status is not Status.SENDING:
            self._was_claimed(after)

    def _was_claimed(self, row: MessageRow) -> None:
        self.claimed[row.id] = self.time()
        now, user = self.truth.now(), self.truth.users[row.user_id]
        if row.due_at > now:
            self.report(f"{row.id} was claimed {row.due_at - now} before it was due")
        if user.deleted_at is not None:
            self.report(f"{row.id} was claimed although its user is deleted")
        instant = self._instant(user, row.occasion, row.local_year)
        # What a person has redriven is sent because they said so, whatever day the user has by now.
        if instant != row.send_at and row.redriven_at is None:
            self.report(f"{row.id} was claimed for {row.send_at}, and its user is to be greeted at {instant}")

    def _instant(self, user: UserRow, occasion: str, local_year: int) -> datetime | None:
        dates = {occasion: user.profile.dates.get(occasion)}
        middle = datetime(local_year, 7, 1, tzinfo=self.began.tzinfo)
        found = wanted(self.rules, dates, user.profile.timezone, now=middle)
        return next(one.send_at for one in found if one.local_year == local_year)

    def called(self, greeting: Greeting, incarnation: int | None) -> None:
        """A node calls the email service, believing itself to be that incarnation."""
        row = self.truth.messages[greeting.id]
        now = self.truth.now()
        if now < row.send_at and self.claimed[row.id] >= self.set_back_at:
            self.report(f"the service was called for {row.id} {row.send_at - now} before its instant")
        if row.status is not Status.SENDING or row.claimed_by != incarnation:
            self.report(f"incarnation {incarnation} called the service for {row.id}, {row.status} of {row.claimed_by}")

    def accepted(self, message: UUID) -> None:
        """The service has accepted it, perhaps again: each time but one is that of an attempt of unknown outcome."""
        times, unknown = self.post.accepted[message], len(self._attempts(message, Outcome.UNKNOWN))
        if times > 1 + unknown:
            self.report(f"{message} was accepted {times} times, {unknown} of its outcomes are unknown")

    def _attempts(self, message: UUID, outcome: Outcome) -> set[int]:
        return {
            row.number for row in self.truth.attempts.values() if (row.message_id, row.outcome) == (message, outcome)
        }

    def _books(self) -> None:
        """The states add up, and what is known as accepted is settled, or about to be by whoever is sending it."""
        rows = self.truth.messages
        if +self.states != (found := Counter(row.status for row in rows.values())):
            self.report(f"{dict(found)} are in each state, and by the moves that were made {dict(+self.states)}")
        for message in {one.message_id for one in self.truth.attempts.values() if one.outcome is Outcome.ACCEPTED}:
            row = rows[message]
            gone = row.status is Status.CANCELLED and self.truth.user(row.user_id) is None
            if row.status not in (Status.SENT, Status.SENDING) and not gone:
                self.report(f"{message} is {row.status}, and an attempt of it is on record as accepted")

    def look(self, *, watched_since: float) -> None:
        """Every second. `watched_since`: from when on a node that lives could have seen everything."""
        self._books()
        living, now = self.living(), self.time()
        ownerless = {
            (row.id, row.attempt): self.ownerless.get((row.id, row.attempt), now)
            for row in self.truth.in_state(Status.SENDING)
            if row.claimed_by not in living
        }
        self.ownerless = ownerless
        for (message, attempt), since in ownerless.items():
            if (seconds := now - max(since, watched_since)) > OWNERLESS_FOR:
                self.report(f"{message} has been sending its attempt {attempt} for {seconds:.1f} s without an owner")

    def unsettled(self) -> list[str]:
        """What still has to happen, were there no more faults: nothing in the end."""
        now = self.truth.now()
        found = [
            f"{row.id} is {row.status}, due at {row.due_at}, and it is {now}"
            for row in self.truth.messages.values()
            if row.status not in ENDED and (row.due_at <= now or row.status in (Status.QUEUED, Status.SENDING))
        ]
        if self.truth.plan_ranges:
            found.append(f"{len(self.truth.plan_ranges)} ranges are not planned")
        if self.truth.planned_up_to <= now:
            found.append(f"planned up to {self.truth.planned_up_to}, and it is {now}")
        return found + self._missing(now)

    def _missing(self, now: datetime) -> list[str]:
        """Greetings of which no row says anything."""
        there = {(row.user_id, row.occasion, row.local_year) for row in self.truth.messages.values()}
        found = []
        for user in self.truth.users.values():
            if user.deleted_at is not None:
                continue
            for one in wanted(self.rules, user.profile.dates, user.profile.timezone, now=now):
                # What an edit moved further back than the limit is not made good.
                earliest = max(user.created_at, self.began, user.updated_at - self.late_limit)
                if one.send_at is None or not earliest < one.send_at <= now:
                    continue
                if (user.id, one.occasion, one.local_year) not in there:
                    found.append(f"{one.occasion} of {user.id} at {one.send_at} has no message")
        return found

    def at_the_end(self) -> None:
        """When everything has settled: the books of the service and ours agree."""
        self._books()
        keys = [(row.user_id, row.occasion, row.local_year) for row in self.truth.messages.values()]
        if len(keys) != len(set(keys)):
            self.report("a user has two messages of one occasion and year")
        for message, times in self.post.accepted.items():
            self.accepted(message)
            known = self._attempts(message, Outcome.UNKNOWN) | self._attempts(message, Outcome.ACCEPTED)
            if times > len(known):
                self.report(f"{message} was accepted {times} times, and has {len(known)} such attempts")
