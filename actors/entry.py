"""The entry point of the program `heyday`: Ctrl-C ends it without a traceback while its modules are imported, too."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from actors import cli

        return cli.main()
    except KeyboardInterrupt:  # before any work was begun
        sys.stderr.write("heyday: interrupted\n")
        return 130
