"""Errors of private servers."""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(Exception):
    """A private server cannot be started or used."""


class NotInstalled(EmbeddedError):
    """The programs of a server are not installed."""


class DirectoryInUse(EmbeddedError):
    """Another process runs its servers in this directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"{directory} is in use: another heyday runs its servers there")


class ServerFailed(EmbeddedError):
    """A server did not start, or one of its programs failed. The message ends with its last output."""

    def __init__(self, name: str, reason: str, written: str = "") -> None:
        super().__init__(f"{name}: {reason}" + (f"\n{written}" if written else ""))


class PortTaken(EmbeddedError):
    """Another process listens on the port of the server."""
