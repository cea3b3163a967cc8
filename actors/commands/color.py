"""Decides if output is colored: only on a terminal, and never if NO_COLOR is set (https://no-color.org)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO


def in_color(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """True if text on this stream may have colors."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
