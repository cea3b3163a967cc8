"""What the actors need from the outside world, as protocols, and the one error that means "not now".

Adapters translate their library's exceptions into `Unavailable` at the border, always `from` the original.
Every method here has a deadline inside its adapter: none may wait for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import IntEnum
from typing import Protocol
from uuid import UUID

from service.domain.messages import Answer, Outcome, Status
from service.domain.users import Profile, User


class Unavailable(Exception):
    """A server that heyday depends on is away: wait and try again. It is an outage, not a bug."""

    def __init__(self, system: str, reason: str) -> None:
        super().__init__(f"{system} is unavailable: {reason}")
        self.system = system
        self.reason = reason


class Emptied(Exception):
    """A store has lost what it held: the work in it has to be seeded again from the rows."""


class CircuitOpen(Exception):
    """The circuit is open: nothing was sent and no attempt was spent."""


# --- Redis streams: distribution of work -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream entry that this node has claimed and not yet finished."""

    id: str
    body: str


@dataclass(frozen=True, slots=True)
class StreamState:
    """Figures of one stream: entries in it, and how many are pending (claimed, not finished) by consumer."""

    length: int
    pending: dict[str, int]


@dataclass(frozen=True, slots=True)
class Requeued:
    """How many abandoned entries were put back, and the bodies of those given up after too many tries."""

    entries: int
    given_up: tuple[str, ...]


class WorkStream(Protocol):
    """A stream with the consumer group `nodes`, seen by one node, whose id is its consumer name.

    An entry is delivered to one consumer and stays pending until `finish`; it is deleted then, so a stream is
    as long as the work in it.
    """

    name: str

    async def open(self) -> None:
        """Make stream and group where they do not exist. Raises Unavailable."""

    async def append(self, bodies: Sequence[str]) -> None:
        """Append an entry per body, in one round trip. Raises Unavailable."""

    async def read(self, *, count: int, block: float) -> list[Entry]:
        """Claim up to `count` new entries, waiting up to `block` seconds for the first.

        Raises Unavailable; Emptied after finding the group gone and making it again.
        """

    async def unfinished(self, *, count: int) -> list[Entry]:
        """The oldest entries this node had claimed and not finished: read at (re)start. Raises Unavailable."""

    async def finish(self, entries: Sequence[Entry]) -> None:
        """Acknowledge and delete, in one round trip. Raises Unavailable."""

    async def requeue_abandoned(self, *, living: Collection[str], idle: float) -> Requeued:
        """Put back entries of consumers that are not `living`, and of any consumer once idle for `idle` seconds.

        Consumers not living are removed once they have nothing pending. This node always counts as living.
        Raises Unavailable; Emptied after finding the group gone and making it again.
        """

    async def state(self) -> StreamState:
        """Length and pending entries. Raises Unavailable."""


# --- The delivery queue: durable, external ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """A bundle of message ids taken from the delivery queue; `receipt` is the adapter's own."""

    ids: tuple[UUID, ...]
    receipt: object


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Bundles ready, bundles taken and not acknowledged (None: the broker does not say), and dead letters."""

    ready: int
    unacknowledged: int | None
    dead: int


class DeliveryQueue(Protocol):
    """A durable queue of bundles of message ids, delivered at least once."""

    async def open(self) -> None:
        """Connect and declare the topology. Raises Unavailable."""

    async def publish(self, bundles: Sequence[Sequence[UUID]]) -> None:
        """Publish every bundle and return when the broker has confirmed them all.

        Raises Unavailable when any is unconfirmed: which ones were taken is then unknown, and all may be
        published again.
        """

    async def receive(self, *, within: float) -> Delivery | None:
        """The next delivery, or None after `within` seconds. Malformed ones go to the dead letters.

        Raises Unavailable; the next call connects and consumes anew.
        """

    async def acknowledge(self, delivery: Delivery) -> None:
        """Forget the delivery. A receipt whose channel is gone is ignored: the broker delivers it again."""

    async def pause(self) -> None:
        """Stop consuming and give back what was taken and not yet received; the next `receive` consumes again."""

    async def bury(self, ids: Sequence[UUID]) -> None:
        """Leave a copy of failed messages with the dead letters, confirmed. Raises Unavailable."""

    async def requeue_abandoned(self, *, living: Collection[str]) -> int:
        """Put back what nodes that are not `living` had taken; 0 where the broker does that itself."""

    async def depth(self) -> QueueDepth:
        """How much is in the queue. Raises Unavailable."""

    async def close(self) -> None:
        """Close connections; what was not acknowledged is delivered again."""


# --- The email service -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Greeting:
    """What leaves: the text for an address, under the key that stays the same on every attempt."""

    id: UUID
    email: str
    text: str


class CircuitState(IntEnum):
    """The states of a circuit breaker; the values are those of `circuit_breaker_state`."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class EmailService(Protocol):
    """The external service behind its circuit breaker."""

    @property
    def circuit(self) -> CircuitState:
        """The state of the circuit."""

    async def send(self, greeting: Greeting) -> Answer:
        """Make one attempt. Never raises for what the service does: that is the Answer.

        While the circuit is half open, one trial is under way at a time and other callers wait for its result.
        Raises CircuitOpen when nothing was sent.
        """

    async def admits(self, *, within: float) -> bool:
        """Wait up to `within` seconds for the circuit not to be open; False when it still is."""


class RateLimit(Protocol):
    """The rate at which all nodes together may call the email service."""

    async def reserve(self, count: int) -> list[float]:
        """Reserve `count` calls and return for each the seconds to wait from now, in order."""


# --- Redis: locks and dedupe keys ------------------------------------------------------------------------------


class Locks(Protocol):
    """Named locks with fencing numbers. A lock spares work; it never decides: the rows do."""

    async def acquire(self, name: str, *, ttl: float, above: int = 0) -> int | None:
        """Take the lock for `ttl` seconds. Returns a fencing number greater than `above` and than every number
        given out before (as far as the store remembers), or None when another holds it. Raises Unavailable."""

    async def renew(self, name: str, number: int, *, ttl: float) -> bool:
        """Hold on to it; False when it is no longer ours. Raises Unavailable."""

    async def release(self, name: str, number: int) -> None:
        """Give it up if it is ours. Raises Unavailable."""


class AcceptedKeys(Protocol):
    """Which messages the email service has accepted, remembered before the row says so.

    It narrows the window between acceptance and record after a crash. Losing it costs nothing but that.
    `day` is the UTC date of the message's send_at, which never changes between two attempts of one claim.
    """

    async def accepted(self, messages: Sequence[tuple[UUID, date]]) -> set[UUID]:
        """Those of the messages that were accepted before. Raises Unavailable."""

    async def remember(self, messages: Sequence[tuple[UUID, date]]) -> None:
        """Remember these as accepted. Raises Unavailable."""


# --- PostgreSQL: the rows --------------------------------------------------------------------------------------


class Replaced(Exception):
    """Another holder has taken the lock since: its fencing number, which is higher than ours, is `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"replaced by the holder of fencing number {number}")
        self.number = number


@dataclass(frozen=True, slots=True)
class Pulse:
    """Business time, the database's own clock, the seconds of the one in a second of the other, what is due next."""

    now: datetime
    real_now: datetime
    rate: float
    next_due: datetime | None


@dataclass(frozen=True, slots=True)
class Due:
    """What a ticker's claim moved, oldest first."""

    queued: tuple[UUID, ...]
    expired: tuple[UUID, ...]


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
    """Connections in use, open and idle, and the most there may be."""

    active: int
    idle: int
    max: int


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

        Those that were no longer ours do not move and are not returned.
        """

    async def sending_for(self, seconds: float) -> set[tuple[UUID, int]]:
        """Messages that have been sending for so many seconds of real time, with the number of their attempt."""

    async def free_claims(self, stuck: Sequence[UUID] = (), *, hold: bool, attempts: int) -> int:
        """Give up to 5,000 messages that ended nodes were sending, and those `stuck`, an unknown outcome: unknown
        when `hold`, failed when `attempts` are spent, else retrying. Returns how many."""

    async def take_back_lost(self, *, queued_for: timedelta) -> int:
        """Move up to 5,000 messages queued for longer one hop back. Returns how many."""

    async def unburied(self) -> list[UUID]:
        """Up to 500 failed messages without a copy among the dead letters."""

    async def buried(self, ids: Sequence[UUID]) -> None:
        """These have their copy."""

    async def redrive(self, ids: Sequence[UUID]) -> list[UUID]:
        """Schedule failed, unknown and expired ones again, now. Returns those moved."""

    async def open_by_status(self) -> dict[Status, int]:
        """How many messages are in each state that is not an end."""

    async def oldest_due_age(self) -> float:
        """Seconds since the oldest message still waiting was due; 0 if none is."""


@dataclass(frozen=True, slots=True)
class NodeBeat:
    """A node's start, its id, and how often its heart has beaten since."""

    incarnation: int
    node: str
    beat: int


class Nodes(Protocol):
    """The rows of nodes. Every method raises Unavailable."""

    async def enter(self, node: str) -> int:
        """Begin an incarnation and return its number, under which this start of the node claims."""

    async def beat(self, incarnation: int) -> bool:
        """Say that it lives; False when others have ended it."""

    async def living(self) -> list[NodeBeat]:
        """The incarnations not ended, as their rows say."""

    async def end(self, beat: NodeBeat) -> bool:
        """End an incarnation whose beat is still the one seen; False when it has moved, or another was first."""

    async def leave(self, incarnation: int) -> None:
        """End our own."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Business time, the instant up to which planning is announced, and that up to which it is complete."""

    now: datetime
    announced: datetime
    complete: datetime


@dataclass(frozen=True, slots=True)
class Day:
    """One occasion's one day (`month_day` is month * 100 + day) in one local year."""

    occasion: str
    local_year: int
    month_day: int


@dataclass(frozen=True, slots=True)
class PlanRange:
    """Users of one day, after `after_user` and up to `until_user`, for the instants in [starts_at, ends_at)."""

    day: Day
    after_user: UUID | None
    until_user: UUID | None
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class OccasionRow:
    """An occasion as stored: None where the node's settings decide."""

    code: str
    template: str
    send_at: time | None
    leap_day: str | None


class Planning(Protocol):
    """The rows by which nodes share planning. Every method raises Unavailable."""

    async def occasions(self) -> list[OccasionRow]:
        """Every occasion."""

    async def planned(self) -> Planned:
        """How far planning is."""

    async def announce(
        self, job: str, scheduled_at: datetime, *, incarnation: int, up_to: datetime, days: Sequence[Day]
    ) -> list[int] | None:
        """In one transaction: write down the run, the ranges of `days` from the announced instant to `up_to`, and
        announce it. Returns the ids of the ranges; None when this run has been made by somebody already."""

    async def open_ranges(self, *, older_than: float, limit: int) -> list[int]:
        """Ranges announced more than `older_than` seconds ago and not planned."""

    async def plan(
        self, range_id: int, instants: Callable[[PlanRange], Sequence[tuple[str, datetime]]], *, tzdata: str
    ) -> int | None:
        """In one transaction: take the range and make its messages, given the instant of each zone.

        Returns how many messages were made; None when the range was planned, or is being planned, by somebody else.
        """


@dataclass(frozen=True, slots=True)
class Wanted:
    """The instant that a user's occasion should have in a local year; None: it has none."""

    occasion: str
    local_year: int
    send_at: datetime | None


class EmailTaken(Exception):
    """Another user, not deleted, has this address."""


class UserChanged(Exception):
    """The user is no longer of the version that the change was made for; it is of `version`."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the user is of version {version} now")
        self.version = version


class Users(Protocol):
    """The rows of users. Every method raises Unavailable."""

    async def create(self, profile: Profile, wanted: list[Wanted]) -> User:
        """Store a user and the messages that planning has already passed. Raises EmailTaken."""

    async def get(self, user_id: UUID) -> User | None:
        """A user, or None if there is none, or no longer."""

    async def page(
        self, *, after: UUID | None, limit: int, email: str | None, timezone: str | None, birthday: int | None
    ) -> list[User]:
        """Users in the order of their ids, those after `after`; `birthday` is month * 100 + day."""

    async def change(
        self,
        user_id: UUID,
        edit: Callable[[User], Profile],
        plan: Callable[[Profile, Profile, datetime], list[Wanted]],
        *,
        version: int | None,
    ) -> User | None:
        """In one transaction: lock the user, store what `edit` makes of it, and move the messages as `plan`
        (given before, after and now) says. None if there is no such user. Raises EmailTaken, UserChanged."""

    async def delete(self, user_id: UUID, *, version: int | None, erase: bool) -> bool:
        """Mark as deleted, cancel what is unsent, and forget the person when `erase`, which a deleted user can be too.
        False if there is no such user. Raises UserChanged."""

    async def create_many(self, rows: Sequence[tuple[Profile, list[Wanted]]]) -> list[UUID | None]:
        """Store many users in one statement, as `create` does one. For each, in order, its id; None where the address
        is taken, be it by an earlier row."""


# --- What the API needs beside that -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its row says."""

    id: UUID
    user_id: UUID
    occasion: str
    local_year: int
    timezone: str
    send_at: datetime
    due_at: datetime
    status: Status
    attempts: int
    tzdata: str
    planned_at: datetime
    ended_at: datetime | None
    redriven_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that is on record; `duration` is in seconds, `node` is None when that node's row is gone."""

    number: int
    node: str | None
    outcome: Outcome
    started_at: datetime
    duration: float
    status_code: int | None
    error: str | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Timeline:
    """A message with everything that is on record about its way; `has_user`: its user is not deleted."""

    message: Message
    queued_at: datetime | None
    queued_node: str | None
    claimed_at: datetime | None
    claimed_node: str | None
    has_user: bool
    attempts: tuple[PastAttempt, ...]


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages: None leaves a filter out; `since` and `until` bound send_at, the second exclusively."""

    user_id: UUID | None = None
    status: Status | None = None
    occasion: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class History(Protocol):
    """What became of messages. Every method raises Unavailable."""

    async def page(self, wanted: MessageFilter, *, after: UUID | None, limit: int) -> list[Message]:
        """Messages in the order of their ids, those after `after`."""

    async def timeline(self, message_id: UUID) -> Timeline | None:
        """One message with its way, or None if there is none."""

    async def redrivable(self, wanted: MessageFilter, *, limit: int) -> list[UUID]:
        """Up to `limit` messages of that status, which may be redriven, of users not deleted, oldest first."""

    async def count_redrivable(self, wanted: MessageFilter) -> int:
        """How many of those there are."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """The right to answer under a key; it is lost when another has taken the key over."""

    key: bytes
    started_at: datetime


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a key was used for, by the fingerprint of the request, and how that was answered; `status` is None while
    another request is being worked on."""

    fingerprint: bytes
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Idempotency(Protocol):
    """The answers given under an Idempotency-Key, for 24 hours. Every method raises Unavailable."""

    async def reserve(self, key: bytes, fingerprint: bytes) -> Reserved | KeptAnswer | None:
        """Take the key for a request; or what it was used for; or None while the same request is being worked on."""

    async def keep(
        self, reserved: Reserved, *, status: int, headers: dict[str, str], body: bytes, resource: str | None
    ) -> None:
        """Keep the answer; `resource` is the path of what was made, by which erasing it finds the answer."""

    async def release(self, reserved: Reserved) -> None:
        """Forget the key: the request was not done, and may be tried again."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a client may make a request, how many more at once, and in how many seconds all or one again."""

    allowed: bool
    remaining: int
    reset_after: float
    retry_after: float


class RequestRate(Protocol):
    """How many requests a client may make on all nodes together."""

    limit: int
    """Requests that may be made at once by a client that has made none."""
    window: float
    """Seconds in which so many may be made."""

    async def take(self, client: str) -> Allowance:
        """Count a request of that client. Never raises Unavailable: without a shared count it counts on its own."""
