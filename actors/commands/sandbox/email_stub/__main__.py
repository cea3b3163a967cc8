"""`python -m actors.commands.sandbox.email_stub`: the fake email service without the rest of the command line."""

from __future__ import annotations

import argparse
import sys

from actors.commands.errors import CommandFailed, WrongUsage
from actors.commands.exit_codes import FAILED
from actors.commands.sandbox.email_stub.command import add_arguments, run


def main() -> int:
    """Read the arguments, serve, and return the exit code."""
    parser = argparse.ArgumentParser(prog="email-stub", description="A fake email service with configurable faults.")
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except WrongUsage as mistake:
        parser.error(str(mistake))
    except CommandFailed as failure:
        sys.stderr.write(f"{failure}\n")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
