"""Redis in memory: streams with their group, locks, accepted keys and rates. A test may empty it at any moment."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from service.domain.adaptive_rate import AdaptiveRate
from tests.fakes.waiting import Bell


@dataclass(slots=True)
class Pending:
    """An entry that a consumer has claimed: the consumer, the time of the claim, and the time of the append."""

    consumer: str
    since: float
    appended_at: float


@dataclass(slots=True)
class Group:
    """The consumer group `nodes` of a stream: the last entry read, its consumers, and their pending entries."""

    read_up_to: int = 0
    consumers: set[str] = field(default_factory=set)
    pending: dict[int, Pending] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry of a stream: body, number of times it was put back, time of the append, and the span of its author."""

    body: str
    tries: int
    appended_at: float
    traceparent: str | None = None


@dataclass(slots=True)
class Stream:
    """Entries by number. `group` is None until it is created."""

    entries: dict[int, Stored] = field(default_factory=dict)
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """The owner of a lock, its fencing token, and its end."""

    owner: str
    number: int
    until: float


class RedisMemory:
    """The keys. `monotonic` is the server's clock, in seconds: locks expire and entries grow idle by it."""

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self.streams: dict[str, Stream] = {}
        self.locks: dict[str, Lock] = {}
        self.fences: dict[str, int] = {}
        self.accepted: dict[str, tuple[dict[UUID, None], float]] = {}
        """By the name of the set: the messages, and when the set expires."""
        self.next_call: dict[str, float] = {}
        """By name of a rate: when the next call may be made."""
        self.rates: dict[str, AdaptiveRate] = {}
        """By name: the rate, and the limit that a throttle has set."""
        self.rate_versions: dict[str, int] = {}
        """By name: the latest version of the configured rate."""
        self._numbers = itertools.count(1)
        self._bells: dict[str, Bell] = {}

    def flush(self) -> None:
        """Delete everything, as FLUSHALL does, and wake waiting readers."""
        for keys in (self.streams, self.locks, self.fences, self.accepted, self.next_call):
            keys.clear()
        for rate in self.rates.values():
            rate.follow(None, paused_until=-math.inf, epoch=0)
        for bell in self._bells.values():
            bell.ring()

    def bell(self, stream: str) -> Bell:
        """The bell that rings when the stream has a new entry, or was deleted."""
        return self._bells.setdefault(stream, Bell())

    def append(self, stream: str, body: str, *, tries: int = 0, traceparent: str | None = None) -> None:
        """Append an entry. A missing stream is created without a group."""
        stored = Stored(body, tries, self.monotonic(), traceparent)
        self.streams.setdefault(stream, Stream()).entries[next(self._numbers)] = stored
        self.bell(stream).ring()
