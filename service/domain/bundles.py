"""Encodes message ids of a bundle as text that a person with a command line can read, and checks it when decoding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

MOST_IDS = 1_000
"""The most ids in one bundle: 37 kB of text."""

_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_BUNDLE = re.compile(f"{_ID}(?:,{_ID})*", re.ASCII)


class Malformed(ValueError):
    """This is not a bundle of message ids."""


def encode(ids: Sequence[UUID]) -> bytes:
    """The ids separated by commas, in order. Raises ValueError when there is none, or more than `MOST_IDS`."""
    if not 1 <= len(ids) <= MOST_IDS:
        raise ValueError(f"a bundle has 1 to {MOST_IDS} ids, not {len(ids)}")
    return ",".join(map(str, ids)).encode()


def decode(body: bytes | str) -> tuple[UUID, ...]:
    """The ids of a bundle, in order, given as bytes (AMQP) or text (a stream entry). Raises Malformed."""
    try:
        text = body if isinstance(body, str) else body.decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed("a bundle is plain ASCII text") from error
    # The length comes first, so that a huge body is refused without being parsed.
    if len(text) > 37 * MOST_IDS or _BUNDLE.fullmatch(text) is None:
        raise Malformed(f"not a bundle of up to {MOST_IDS} message ids: {text[:80]!r}")
    # One conversion of the whole text, then a slice for each id. Parsing each id alone takes half as long again.
    raw = bytes.fromhex(text.replace("-", "").replace(",", ""))
    return tuple(UUID(bytes=raw[at : at + 16]) for at in range(0, len(raw), 16))


def messages_in(body: bytes) -> int:
    """The number of messages that a dead letter stands for; 1 if it cannot be read."""
    try:
        return len(decode(body))
    except Malformed:
        return 1
