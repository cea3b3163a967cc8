"""`heyday call`: asks the API of the node on this machine, with a key of its settings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

import orjson

from actors.commands.errors import WrongUsage
from actors.commands.exit_codes import FAILED, OK
from actors.commands.health import ask, url_of
from actors.commands.output import printable
from service.bind_settings import read_bind
from service.settings import read_api_secret

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

ANSWER_TIMEOUT = 60.0
"""Seconds for the answer. A job that is run by hand answers when it has ended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("method", metavar="METHOD", nargs="?", help="default: GET, or POST with --data")
    parser.add_argument("path", metavar="PATH", help="such as /health/detailed, or /api/v1/jobs/recovery:run")
    parser.add_argument("--data", metavar="JSON", help="send this JSON")
    parser.add_argument("--json", action="store_true", help="write the answer in one line")


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Ask, write the answer and return the exit code, which is 0 after a 2xx. Raises BadConfiguration, WrongUsage."""
    verb = (args.method or ("GET" if args.data is None else "POST")).upper()
    if verb not in METHODS or not args.path.startswith("/"):
        raise WrongUsage(f"expected [METHOD] PATH, such as GET /health/detailed; the methods are {', '.join(METHODS)}")
    answer = ask(
        url_of(*read_bind(environment), path=args.path),
        method=verb,
        secret=read_api_secret(environment),
        data=None if args.data is None else args.data.encode(),
        within=ANSWER_TIMEOUT,
    )
    text = _text(answer.body, in_one_line=args.json)
    if text:
        sys.stdout.write(text + "\n")
    if not answer.is_ok:
        sys.stderr.write(printable(f"{answer.url}: {answer.status or answer.error}\n"))
    return OK if answer.is_ok else FAILED


def _text(body: bytes, *, in_one_line: bool) -> str:
    try:
        return orjson.dumps(orjson.loads(body), option=0 if in_one_line else orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return printable(body.decode(errors="replace").rstrip("\n"))
