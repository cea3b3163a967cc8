"""Every command of `heyday`, its help text and its modules, and the parser of the command line.

Modules are named, not imported: `heyday health` runs every few seconds in containers and must start fast.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

from actors.commands.exit_codes import WRONG_USAGE

_HERE = "actors.commands"


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command.

    `module` has `run(args, environment) -> int`, which returns an exit code. `options` has `add_arguments(parser)`; by
    default it is the same module. `extra` is the optional extra of heyday whose packages the command needs.
    """

    help: str
    module: str
    options: str | None = None
    extra: str | None = None


COMMANDS = {
    "run": Command("run one node until SIGTERM or SIGINT", f"{_HERE}.run"),
    "migrate": Command("apply schema/ to the database; safe from many nodes at once", f"{_HERE}.migrate"),
    "when": Command(
        "calendar only: read NDJSON of occasion, date, timezone, year on stdin; write instants on stdout",
        f"{_HERE}.when",
    ),
    "email-stub": Command(
        "run a fake email service with errors, hangs and lost connections", f"{_HERE}.sandbox.email_stub.command"
    ),
    "preview": Command("show who gets what in a period, and who is left out and why", f"{_HERE}.preview"),
    "explain": Command("show why a user was or was not greeted, and what comes next", f"{_HERE}.explain"),
    "import": Command(
        "create or update users from CSV or NDJSON, through the API",
        f"{_HERE}.imports.command",
        f"{_HERE}.imports.options",
    ),
    "occasions": Command(
        "list, show and set occasions and their texts; render one, or send a test", f"{_HERE}.occasions"
    ),
    "redrive": Command("send failed, unknown or expired messages again", f"{_HERE}.redrive"),
    "prune": Command("remove the messages and attempts of old years", f"{_HERE}.prune"),
    "hold": Command("stop all sending, or that of one occasion, on every node", f"{_HERE}.hold"),
    "release": Command("end a hold, so that sending goes on", f"{_HERE}.release"),
    "holds": Command("list what is held, since when, by whom and why", f"{_HERE}.holds"),
    "limits": Command("show, set and remove the limits that stand above the settings of all nodes", f"{_HERE}.limits"),
    "doctor": Command(
        "check the configuration and every server; adopt a restored database",
        f"{_HERE}.doctor.command",
        f"{_HERE}.doctor.options",
    ),
    "health": Command("ask the node on this machine for its health", f"{_HERE}.health"),
    "call": Command("ask the API of the node on this machine, with a key of its settings", f"{_HERE}.call"),
    "demo": Command(
        "watch 09:00 move around the world, with servers in .heyday/",
        f"{_HERE}.demo.command",
        f"{_HERE}.demo.options",
        "embedded",
    ),
    "chaos": Command(
        "inject faults into nodes and servers during a wave, and check that nothing is lost",
        f"{_HERE}.chaos.command",
        f"{_HERE}.chaos.options",
        "embedded",
    ),
    "completion": Command("print a completion script for bash, zsh or fish", f"{_HERE}.completion"),
}
"""The commands by name, in the order of `heyday --help`."""


class _Parser(argparse.ArgumentParser):
    """A parser of a command, or of an action of one. `parser` is the innermost that was used, for its own usage."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.exit_on_error = False
        self.set_defaults(parser=self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does. A refused value is answered by `refuse`, any other mistake with the usage."""
        try:
            return super().parse_known_args(args, namespace)
        except argparse.ArgumentError as mistake:
            if mistake.argument_name is None:  # arguments are missing, of Python 3.13 on
                self.error(mistake.message)
            self.refuse(str(mistake))

    def refuse(self, sentence: str) -> NoReturn:
        """End with exit code 2 and a sentence that needs no usage beside it, because it names the argument."""
        self.exit(WRONG_USAGE, f"{self.prog}: error: {sentence}\n")


class _ShowVersion(argparse.Action):
    """Shows the version of the installed package. argparse's own action looks it up, slowly, for every command."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002 - argparse's name
        super().__init__(option_strings, dest=argparse.SUPPRESS, default=argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version and end."""
        from importlib.metadata import version

        sys.stdout.write(f"heyday {version('heyday')}\n")
        parser.exit()


def parser_for(words: Iterable[str]) -> argparse.ArgumentParser:
    """The parser, with the arguments of those commands that `words` contain. The others are not imported."""
    parser = _Parser(prog="heyday", description="Greets every user once, at 09:00 local time, on each of their days.")
    parser.add_argument("--version", action=_ShowVersion, help="show program's version number and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    asked = set(words)
    for name, command in COMMANDS.items():
        added = commands.add_parser(name, help=command.help, description=command.help[0].upper() + command.help[1:])
        if name in asked:
            import_module(command.options or command.module).add_arguments(added)
    return parser
