"""The rows of messages, for those who move them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from service.domain.messages import Answer, Status


@dataclass(frozen=True, slots=True)
class Pulse:
    """Business time, the database's own clock, the seconds of the one in a second of the other, what is due next."""

    now: datetime
    real_now: datetime
    rate: float
    next_due: datetime | None


@dataclass(frozen=True, slots=True)
class Moved:
    """A message that was moved to `status` without a report of its attempt; `attempt` is how many were begun."""

    id: UUID
    status: Status
    occasion: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Due:
    """What a ticker's claim moved, oldest first."""

    queued: tuple[UUID, ...]
    expired: tuple[Moved, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of `incarnation` to make attempt number `attempt`; it is lost when the row says otherwise."""

    id: UUID
    local_year: int
    attempt: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed message with everything that is needed to send it, as it is now."""

    claim: Claim
    attempts_spent: int
    send_at: datetime
    occasion: str
    first_name: str
    last_name: str
    email: str
    template: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a claim: the state to move to, and the attempt, or None if it was not made.

    `delay` is how long until the next attempt when `status` is retrying; `began` is when the attempt began, in
    seconds of the clock that `Messages.record` is given too.
    """

    claim: Claim
    status: Status
    answer: Answer | None
    began: float
    delay: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A message that a record has moved; `lateness` is the attempt's begin minus send_at, in seconds."""

    id: UUID
    status: Status
    occasion: str
    lateness: float


@dataclass(frozen=True, slots=True)
class PoolState:
    """Connections in use, open and idle, the most there may be, and how many callers wait for one."""

    active: int
    idle: int
    max: int
    waiting: int = 0


class Messages(Protocol):
    """The rows of messages. Every method raises Unavailable."""

    async def pulse(self) -> Pulse:
        """Time and the next due instant."""

    async def outstanding(self, limit: int) -> int:
        """How many messages are queued, counted up to `limit`."""

    async def claim_due(self, *, fence: int, incarnation: int, limit: int, late_limit: timedelta) -> Due:
        """Move up to `limit` due messages to queued, or to expired if later than `late_limit`.

        Raises Replaced when a higher fencing number has been seen.
        """

    async def take_back(self, ids: Sequence[UUID], *, incarnation: int) -> int:
        """Undo this node's own claim_due of messages that could not be handed on."""

    async def take_back_claim(self, *, incarnation: int) -> int:
        """Undo the latest claim_due of a node that has ended: nobody knows whether it could hand it on."""

    async def claim_for_sending(self, ids: Sequence[UUID], *, incarnation: int) -> list[Claimed]:
        """Move those that are queued and due to sending; the others are somebody else's or done."""

    async def record(self, results: Sequence[Result], *, at: float) -> list[Recorded]:
        """Write what became of claims, `at` being now by the clock of `Result.began`.

        Those that were no longer ours do not move and are not returned, but for an acceptance: the message is sent,
        unless somebody is sending it at this moment, or its user was deleted. So is one of which another attempt is
        known as accepted. One that should be retried, and whose user was edited or deleted meanwhile, is scheduled for
        its new instant, or cancelled.
        """

    async def sending_for(self, seconds: float) -> set[tuple[UUID, int]]:
        """Messages that have been sending for so many seconds of real time, with the number of their attempt."""

    async def free_claims(self, stuck: Collection[tuple[UUID, int]] = (), *, hold: bool, attempts: int) -> list[Moved]:
        """Give up to 5,000 messages that ended nodes were sending, and the `stuck` attempts, an unknown outcome:
        sent when another attempt is known as accepted, unknown when `hold`, failed when `attempts` are spent, else
        retrying (see `record`).
        Returns those moved."""

    async def take_back_lost(self, *, queued_for: timedelta) -> int:
        """Move up to 5,000 messages queued for longer one hop back. Returns how many."""

    async def unburied(self) -> list[UUID]:
        """Up to 500 failed messages without a copy among the dead letters."""

    async def buried(self, ids: Sequence[UUID]) -> None:
        """These have their copy."""

    async def redrive(self, ids: Sequence[UUID]) -> list[UUID]:
        """Schedule failed, unknown and expired ones, of users not deleted, again, now. Returns those moved."""

    async def open_by_status(self) -> dict[Status, int]:
        """How many messages are in each state that is not an end, and in `unknown`, which waits for a person."""

    async def oldest_due_age(self) -> float:
        """Seconds since the oldest message that is due and has not ended was due; 0 if none is."""
