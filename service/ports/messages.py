"""The rows of messages, for the actors that move them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from service.domain.messages import Answer, EmailServiceName, Status
from service.domain.retry import History
from service.ports.audit import Principal
from service.ports.requests import Keep


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Business time, the database's own clock, seconds of business time per second, and the next due instant.

    `next_due` is None if nothing is due later, or if it was not looked for.
    """

    now: datetime
    real_now: datetime
    rate: float
    next_due: datetime | None


@dataclass(frozen=True, slots=True)
class Moved:
    """A message that moved to `status` without a report of its attempt. `attempt` is the number of begun attempts.

    `service` is that of a released claim. Of a sent message it is the one that took it.
    """

    id: UUID
    status: Status
    occasion: str
    attempt: int
    service: EmailServiceName | None = None


@dataclass(frozen=True, slots=True)
class Outstanding:
    """The number of queued messages, and how many were ever taken back because they had been queued for too long."""

    queued: int
    taken_back: int


@dataclass(frozen=True, slots=True)
class Due:
    """The messages that a ticker's claim moved, oldest first. `too_late` has those that are expired or unknown now."""

    queued: tuple[UUID, ...]
    too_late: tuple[Moved, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of `incarnation` to make attempt number `attempt` at `service`.

    It is lost when the row says otherwise. An attempt that was not made gives its number to the next claim, perhaps of
    the same incarnation. `token` tells the two apart.
    """

    id: UUID
    local_year: int
    attempt: int
    incarnation: int
    service: EmailServiceName = EmailServiceName.PRIMARY
    token: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed message with everything that is needed to send it, as it is now.

    `template` and `subject` are those of the user's language. `years` is the value of `{years}`, None where the text
    does not use it or the year is unknown. `pinned`: the service of the claim may have taken the message at an earlier
    attempt, so no other may get it.
    """

    claim: Claim
    history: History
    send_at: datetime
    occasion: str
    first_name: str
    last_name: str | None
    email: str
    template: str
    subject: str = ""
    years: int | None = None
    pinned: bool = False


class Claims(list[Claimed]):
    """The messages of a claim for sending. `left_out` counts the others that it moved, by reason.

    `held` ones went one hop back. The others were cancelled: the reason is that of a suppression, or `only_to`.
    """

    def __init__(self, claimed: Iterable[Claimed] = (), *, left_out: Mapping[str, int] | None = None) -> None:
        super().__init__(claimed)
        self.left_out: Mapping[str, int] = left_out or {}


HELD = "held"
"""The reason in `Claims.left_out` of messages that may not be sent now."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a claim: the state to move to, and the attempt, or None if it was not made, for that `reason`.

    `delay` is how long until the next attempt when `status` is retrying. A message without an attempt, and without a
    delay, is due as before. `began` is when the attempt began, in seconds of the clock that `Messages.record` is given
    too.
    """

    claim: Claim
    status: Status
    answer: Answer | None
    began: float
    delay: timedelta = timedelta()
    reason: str = "not attempted"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A message that a record has moved; `lateness` is the attempt's begin minus send_at, in seconds."""

    id: UUID
    status: Status
    occasion: str
    lateness: float


@dataclass(frozen=True, slots=True)
class Wave:
    """Messages that become due at one instant: seconds of business time until then, and how many, at most 10,000."""

    seconds: float
    messages: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """A message whose row the database could not change by `action`. It is left out until `look_again_at`.

    `action` may be `plan_range`: then it is a user, for whom no message could be made.
    """

    id: UUID
    action: str
    reason: str
    failures: int
    since: datetime
    look_again_at: datetime

    @property
    def subject(self) -> str:
        """The kind of row that `id` names."""
        return "user" if self.action == "plan_range" else "message"


@dataclass(frozen=True, slots=True)
class PoolState:
    """Connections in use, open and idle, the most there may be, and how many callers wait for one."""

    active: int
    idle: int
    max: int
    waiting: int = 0


class Messages(Protocol):
    """The rows of messages. Every method raises Unavailable.

    A row that the database cannot change is set aside: methods that move many move the others, and leave it out until
    the next look. The attempt of its result is recorded all the same.
    """

    async def read_clock(self, *, next_due: bool = False) -> ClockReading:
        """Return the time and, if wanted, the next due instant. To look for it costs more than the time."""

    async def outstanding(self, limit: int) -> Outstanding:
        """Count the messages on their way, up to `limit`."""

    async def claim_due(self, *, fence: int, incarnation: int, limit: int, late_limit: timedelta) -> Due:
        """Move up to `limit` due messages to queued.

        Those later than `late_limit` become expired, or unknown if one of their attempts has an unknown outcome. Raises
        StaleFencingToken if a higher fencing token has been seen.
        """

    async def requeue(self, ids: Sequence[UUID], *, incarnation: int) -> int:
        """Undo this node's own claim_due for messages that could not be handed on."""

    async def requeue_claim(self, *, incarnation: int) -> int:
        """Undo the latest claim_due of a node whose answer was lost, or that ended before it handed the rows on."""

    async def claim_for_sending(
        self,
        ids: Sequence[UUID],
        *,
        incarnation: int,
        token: int | None = None,
        late_limit: timedelta | None = None,
        fallback: Collection[UUID] = (),
    ) -> Claims:
        """Move queued and due messages to sending. The others belong to another node or have ended.

        What is held goes one hop back. What goes to a suppressed address, or may not be written to, is cancelled.

        A claim whose answer was lost is repeated under its `token`: it returns its own rows again. What became later
        than `late_limit` while it was queued stays queued: recovery takes it back, and `claim_due` ends it.

        The claim is for the primary email service, or of those in `fallback` for the fallback service. A message that
        one of them may have taken at an earlier attempt is claimed for that one.
        """

    async def record(self, results: Sequence[Result], *, at: float) -> list[Recorded]:
        """Write the results of claims; `at` is the time of the call, in seconds of the clock of `Result.began`.

        Those that were no longer ours do not move and are not returned, but for an acceptance: the message is sent,
        unless a node is sending it at this moment, or its user was deleted. So is one of which another attempt is
        known as accepted. One that should be retried, and whose user was edited or deleted meanwhile, is scheduled for
        its new instant, or cancelled.
        """

    async def sending_for(self, seconds: float) -> set[tuple[UUID, int]]:
        """Messages that have been `sending` for this many seconds of real time, with the number of their attempt."""

    async def release_claims(
        self, stuck: Collection[tuple[UUID, int]] = (), *, hold: bool, hold_fallback: bool | None = None
    ) -> list[Moved]:
        """Give up to 5,000 messages that ended nodes were sending, and the `stuck` attempts, an unknown outcome.

        They become sent when another attempt is known as accepted, unknown when `hold`, else retrying (see `record`).
        `hold_fallback` is for those claimed for the fallback service; None: as `hold`. Returns those moved.
        """

    async def requeue_lost(self, *, queued_for: timedelta) -> int:
        """Move up to 5,000 messages queued for longer one hop back. Returns how many."""

    async def awaiting_dead_letter(self) -> list[UUID]:
        """Up to 500 failed messages without a copy among the dead letters."""

    async def mark_dead_lettered(self, ids: Sequence[UUID]) -> None:
        """Note that these messages have their dead letter."""

    async def redrive(self, ids: Sequence[UUID], *, by: Principal, keep: Keep | None = None) -> list[UUID]:
        """Schedule failed, unknown and expired messages of users not deleted again, due now. Returns those moved.

        The same transaction adds them to the audit log and, with `keep`, keeps that response if any moved. Raises
        ReservationLost.
        """

    async def set_aside(self, limit: int) -> list[SetAside]:
        """Up to `limit` messages that are set aside, the newest first."""

    async def forget_repaired(self) -> int:
        """Forget set-aside messages that have ended, or at which no method has failed for hours.

        Returns their number.
        """

    async def open_by_status(self) -> dict[Status, int]:
        """Counts of messages in each state that is not an end, and in `unknown`, which waits for an operator.

        Of what waits for its instant, the earliest 10,000 are counted. Another count is exact below 100,000.
        """

    async def oldest_due_age(self) -> float:
        """Seconds since the oldest open message that is not held was due. 0 if none is due."""

    async def next_wave(self) -> Wave | None:
        """The next instant at which scheduled messages become due. None without one.

        The first 10,000 of the messages that wait are looked at, so that the cost does not grow with their number.
        """

    async def oldest_snapshot_age(self) -> float:
        """Seconds of real time since the oldest transaction began that keeps old row versions. 0 without one."""
