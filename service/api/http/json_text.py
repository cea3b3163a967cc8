"""JSON text, written by orjson. It is apart from the responses: commands write JSON, and aiohttp is slow to import."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

_OPTIONS = orjson.OPT_UTC_Z


def encode(content: Any) -> bytes:
    """JSON text; datetimes as RFC 3339 in UTC, `2027-02-28T09:00:00Z`."""
    return orjson.dumps(content, option=_OPTIONS, default=_plain)


def _plain(value: object) -> str:
    # The database's driver has a UUID class of its own.
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
