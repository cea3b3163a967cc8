"""Calls the tools in the process of the tests, which has imported most of what they import."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Ended(NamedTuple):
    """The exit code of a tool, and what it printed."""

    code: int
    said: str
    complaints: str


Call = Callable[..., Ended]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the `main` of a tool with these arguments, as its command line does."""

    def call(main: Callable[[], None], *words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tool", *words])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Ended(code, *capsys.readouterr())

    return call
