"""The API keys that are valid now: compared in constant time, and read again when their file changes."""

from __future__ import annotations

import hmac
import time
from pathlib import Path

import structlog

from service.api_keys import ApiKey, digest, parse_api_keys
from service.environment import secret_text, unquoted
from service.settings import Settings

log = structlog.get_logger(__name__)

KEY_FILE_POLL_INTERVAL = 1.0
"""Seconds between two looks at the file. A removed key can stay valid for so long."""


class ApiKeys:
    """Looks keys up by their secrets. They belong to the node: an API that restarts goes on with the last keys.

    A file that cannot be read, is empty, has an error, or has a secret that is too short changes nothing: a mistake
    must not open the API. The first look reads the file: it may have changed since the settings were read.
    """

    def __init__(self, settings: Settings) -> None:
        self._min_length = settings.min_api_key_length
        self._keys = settings.api_keys
        self._file = settings.api_keys_file
        self._stamp: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")

    @property
    def needed(self) -> bool:
        """True when requests need a key."""
        return bool(self._keys)

    def find(self, secret: str | None) -> ApiKey | None:
        """The key that has this secret, or None. The time that this takes says nothing about the keys."""
        self._look()
        if secret is None:
            return None
        given = digest(secret)
        # Every key is compared, also after a match.
        found = [key for key in self._keys if hmac.compare_digest(given, key.digest)]
        return found[0] if found else None

    def _look(self) -> None:
        now = time.monotonic()
        if self._file is None or now - self._looked_at < KEY_FILE_POLL_INTERVAL:
            return
        self._looked_at = now
        if (stamp := _stamp(self._file)) == self._stamp:
            return
        try:
            text = secret_text(self._file)
        except (OSError, UnicodeDecodeError) as error:
            log.warning("api_keys_unreadable", file=str(self._file), reason=str(error))
            return
        self._stamp = stamp
        try:
            keys = parse_api_keys(unquoted(text))
        except ValueError as error:
            log.warning("api_keys_refused", file=str(self._file), reason=f"expected {error}")
            return
        if any(key.length is not None and key.length < self._min_length for key in keys):
            log.warning("api_keys_too_short", file=str(self._file), characters=self._min_length)
        elif not keys:
            log.warning("api_keys_empty", file=str(self._file))
        elif keys != self._keys:
            self._keys = keys
            log.info("api_keys_read_again", keys=len(keys))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Values that change with the file: a mounted secret is replaced, an edited one gets a new time."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
