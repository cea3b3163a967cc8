"""`heyday completion SHELL`: prints a script with which a shell completes commands and options.

bash: `heyday completion bash > /etc/bash_completion.d/heyday`. zsh: a file `_heyday` in a directory of `$fpath`. fish:
`heyday completion fish > ~/.config/fish/completions/heyday.fish`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from importlib import import_module

from actors.commands.exit_codes import OK

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


def run(args: argparse.Namespace, _environment: Mapping[str, str]) -> int:
    """Write the script for the whole command line."""
    from actors.commands.registry import COMMANDS, parser_for

    # Imported by name, because no other command needs it.
    shtab = import_module("shtab")
    sys.stdout.write(shtab.complete(parser_for(COMMANDS), shell=args.shell) + "\n")
    return OK
