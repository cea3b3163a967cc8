"""What Redis holds, in memory: streams and their group, locks, accepted messages, rates. Anybody may empty it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from tests.fakes.waiting import Bell


@dataclass(slots=True)
class Pending:
    """An entry that a consumer has claimed: who, since when, and when the entry was appended."""

    consumer: str
    since: float
    appended_at: float


@dataclass(slots=True)
class Group:
    """The consumer group `nodes` of a stream: up to where it was read, its consumers, what they have not finished."""

    read_up_to: int = 0
    consumers: set[str] = field(default_factory=set)
    pending: dict[int, Pending] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry of a stream: its body, how often it was put back, when it was appended, and on behalf of which span."""

    body: str
    tries: int
    appended_at: float
    traceparent: str | None = None


@dataclass(slots=True)
class Stream:
    """Entries by number. `group` is None until somebody makes it."""

    entries: dict[int, Stored] = field(default_factory=dict)
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """Who holds a lock, under which fencing number, until when."""

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
        self.accepted: dict[date, tuple[dict[UUID, None], float]] = {}
        """By day: the messages, and when the day expires."""
        self.next_call: dict[str, float] = {}
        """By name of a rate: when the next call may be made."""
        self._numbers = itertools.count(1)
        self._bells: dict[str, Bell] = {}

    def flush(self) -> None:
        """Forget everything, as FLUSHALL does. Readers that wait are told."""
        for keys in (self.streams, self.locks, self.fences, self.accepted, self.next_call):
            keys.clear()
        for bell in self._bells.values():
            bell.ring()

    def bell(self, stream: str) -> Bell:
        """Rings when the stream has a new entry, or is gone."""
        return self._bells.setdefault(stream, Bell())

    def append(self, stream: str, body: str, *, tries: int = 0, traceparent: str | None = None) -> None:
        """Append an entry; the stream is made if there is none, without a group."""
        stored = Stored(body, tries, self.monotonic(), traceparent)
        self.streams.setdefault(stream, Stream()).entries[next(self._numbers)] = stored
        self.bell(stream).ring()
