"""Exceptions that end a command with a sentence on standard error instead of a traceback."""

from __future__ import annotations


class CommandFailed(Exception):
    """The command cannot do what was asked. The message says why. Exit code 1."""


class WrongUsage(Exception):
    """The arguments make no sense. The message says what was expected. Exit code 2, with the usage of the command."""


class WrongValue(WrongUsage):
    """An argument has a value that is refused. The message names it. Exit code 2, without the usage, which hides it."""
