"""The API keys that are valid now: compared in constant time, and read again when their file changes."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the file: for so long may a key that was taken out still be valid."""


class ApiKeys:
    """Digests of the keys. A file that cannot be read, or is empty, changes nothing: a slip must not open the API."""

    def __init__(self, keys: Sequence[str], file: Path | None) -> None:
        self._digests = [_digest(key) for key in keys]
        self._file = file
        self._stamp = _stamp(file)
        self._looked_at = time.monotonic()

    @property
    def needed(self) -> bool:
        """Whether a key is needed at all."""
        return bool(self._digests)

    def fingerprint(self, key: str | None) -> str | None:
        """A short name of the key, if it is valid. How long it takes says nothing about the keys."""
        self._look()
        if key is None:
            return None
        digest = _digest(key)
        # Every key is compared, whichever fits.
        return digest.hex()[:16] if sum([hmac.compare_digest(digest, valid) for valid in self._digests]) else None

    def _look(self) -> None:
        now = time.monotonic()
        if self._file is None or now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        if (stamp := _stamp(self._file)) == self._stamp:
            return
        try:
            keys = [key.strip() for key in self._file.read_text(encoding="utf-8").split(",") if key.strip()]
        except (OSError, UnicodeDecodeError) as error:
            log.warning("api_keys_unreadable", file=str(self._file), reason=str(error))
            return
        self._stamp = stamp
        if keys:
            self._digests = [_digest(key) for key in keys]
            log.info("api_keys_read_again", keys=len(keys))
        else:
            log.warning("api_keys_empty", file=str(self._file))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _stamp(file: Path | None) -> tuple[int, int, int] | None:
    """What changes when the file does; a mounted secret is replaced, an edited one gets a new time."""
    try:
        status = file.stat() if file is not None else None
    except OSError:
        return None
    return None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)
