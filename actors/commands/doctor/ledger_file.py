"""Reads an export of the keys that the email service has accepted: plain text, CSV or NDJSON.

Plain text has one key in each line. CSV begins with a line of column names. NDJSON has one object in each line.
The key is in `key`, `idempotencyKey` or `idempotency_key`. The time of acceptance is optional, in `at`, `acceptedAt`,
`sentTime` or `time`: ISO 8601 with an offset, or milliseconds since 1970.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO
from uuid import UUID

import orjson

KEYS = ("key", "idempotencyKey", "idempotency_key")
INSTANTS = ("at", "acceptedAt", "sentTime", "time")

Accepted = tuple[UUID, datetime | None]


class BadLine(ValueError):
    """A line of the ledger that is not valid."""


def open_ledger(file: Path) -> TextIO:
    """Open the file. Raises OSError."""
    return file.open(encoding="utf-8-sig", errors="replace", newline="")


def read_ledger(lines: Iterable[str]) -> Iterator[tuple[int, Accepted | BadLine]]:
    """Yield the number and the content of each line that is not blank. Raises OSError."""
    names: list[str] | None = None
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        if number == 1 and (found := next(csv.reader([text]))) and set(found) & set(KEYS):
            names = found
            continue
        try:
            yield number, _accepted(text, names)
        except ValueError as error:
            yield number, BadLine(f"{error}: {text[:80]}")


def _accepted(text: str, names: list[str] | None) -> Accepted:
    if names is not None:
        return _from(dict(zip(names, next(csv.reader([text])), strict=False)))
    if text.startswith("{"):
        return _from(orjson.loads(text))
    return _key(text.strip('"')), None


def _from(fields: Mapping[str, object]) -> Accepted:
    key = next((fields[name] for name in KEYS if fields.get(name)), None)
    at = next((fields[name] for name in INSTANTS if fields.get(name)), None)
    return _key(str(key)), None if at is None else _instant(at)


def _key(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BadLine("not a message id") from None


def _instant(value: object) -> datetime:
    text = str(value)
    try:
        if text.lstrip("-").isdecimal():
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(text))
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise BadLine("not an instant") from None
    if found.tzinfo is None:
        raise BadLine("an instant without an offset")
    return found
