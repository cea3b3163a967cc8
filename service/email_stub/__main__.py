"""`python -m service.email_stub`: the fake email service without the rest of heyday."""

from __future__ import annotations

import argparse

import uvloop

from service.email_stub.command import add_arguments, run


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="email-stub", description="A fake email service that fails as told.")
    add_arguments(parser)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
