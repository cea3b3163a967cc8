"""What can go wrong with a private server."""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(Exception):
    """A private server cannot be had."""


class NotInstalled(EmbeddedError):
    """The programs of a server are not on this machine."""


class DirectoryInUse(EmbeddedError):
    """Another living process runs its servers in this directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} is in use: another heyday runs its servers there")


class ServerFailed(EmbeddedError):
    """A server did not start, or one of its programs failed; the message ends with what it wrote last."""

    def __init__(self, name: str, reason: str, written: str = "") -> None:
        super().__init__(f"{name}: {reason}" + (f"\n{written}" if written else ""))


class PortTaken(EmbeddedError):
    """Somebody else listens on the port that the server was to have."""
