"""The ledger of the fake email service: acceptances, and counts of all other answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Acceptance(NamedTuple):
    """One acceptance: its number from 0, its key or None, its time in ms since the epoch, and the mail."""

    number: int
    key: str | None
    at: int
    email: str
    message: str


class Ledger:
    """All counts, and the newest `keep` acceptances."""

    def __init__(self, *, keep: int) -> None:
        self.keep = keep
        self.requests = 0
        self.errors = 0
        self.hangs = 0
        self.abandoned = 0
        self.cut = 0
        self.refused = 0
        self.throttled = 0
        self.missing_keys = 0
        self.accepted = 0
        self.keys = 0
        self.duplicates = 0
        self._first_at: int | None = None
        self._last_at: int | None = None
        # Plain tuples: the garbage collector stops tracking them, but would visit every named tuple.
        self._rows: list[tuple[str | None, int, str, str]] = []
        self._times_by_key: dict[str, int] = {}

    def accept(self, *, key: str | None, email: str, message: str, at: int) -> None:
        """Record an acceptance. It is a duplicate if the ledger has its key."""
        self._rows.append((key, at, email, message))
        self.accepted += 1
        self._last_at = at
        if self._first_at is None:
            self._first_at = at
        if key is None:
            self.missing_keys += 1
        else:
            times = self._times_by_key[key] = self._times_by_key.get(key, 0) + 1
            if times == 1:
                self.keys += 1
            else:
                self.duplicates += 1
        # The oldest are removed in blocks of an eighth, so that an acceptance stays cheap.
        if len(self._rows) > self.keep + self.keep // 8:
            self._forget(len(self._rows) - self.keep)

    def stats(self) -> dict[str, int | None]:
        """The counts for `GET /stats`. Times are in ms since the epoch."""
        return {
            "requests": self.requests,
            "accepted": self.accepted,
            "keys": self.keys,
            "duplicates": self.duplicates,
            "missingKeys": self.missing_keys,
            "errors": self.errors,
            "hangs": self.hangs,
            "abandoned": self.abandoned,
            "cut": self.cut,
            "refused": self.refused,
            "throttled": self.throttled,
            "firstAcceptedAt": self._first_at,
            "lastAcceptedAt": self._last_at,
        }

    def by_key(self) -> dict[str, dict[str, Any]]:
        """For each key: the number and times of its acceptances, and the newest mail."""
        found: dict[str, dict[str, Any]] = {}
        for key, at, email, message in self._rows:
            if key is not None:
                of_key = found.setdefault(key, {"count": 0, "times": []})
                of_key["count"] += 1
                of_key["times"].append(at)
                of_key |= {"email": email, "message": message}
        return found

    def acceptances(self, *, since: int = 0, block: int = 1000) -> Iterator[list[Acceptance]]:
        """Yield the acceptances from number `since`, in blocks. New ones that arrive meanwhile are included."""
        while True:
            oldest = self.accepted - len(self._rows)
            since = max(since, oldest)
            rows = self._rows[since - oldest : since - oldest + block]
            if not rows:
                return
            yield [Acceptance(number, *row) for number, row in enumerate(rows, since)]
            since += len(rows)

    def _forget(self, count: int) -> None:
        for key, *_ in self._rows[:count]:
            if key is not None:
                self._times_by_key[key] -= 1
                if not self._times_by_key[key]:
                    del self._times_by_key[key]
        del self._rows[:count]
