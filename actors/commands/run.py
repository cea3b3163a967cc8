"""`heyday run`: one node with every actor, until SIGTERM or SIGINT drains it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from actors.commands.arguments import whole_number
from actors.commands.color import in_color
from actors.commands.errors import CommandFailed
from actors.commands.exit_codes import FAILED, OK
from actors.failpoints import Failpoint, FailpointHook, crash_at, no_failpoints
from service.settings import BadConfiguration, Settings, is_loopback, read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--rehearsal",
        action="store_true",
        help="accept a database with a moved business clock; the email service must be on a loopback address",
    )
    parser.add_argument(
        "--crash-at",
        metavar="FAILPOINT[:N]",
        type=_failpoint,
        default=no_failpoints,
        help="for tests: end like kill -9 when the node reaches FAILPOINT for the N-th time; FAILPOINT is one of "
        + ", ".join(Failpoint),
    )


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run a node and return its exit code. Raises BadConfiguration, CommandFailed."""
    gc.disable()  # modules make no garbage, and looking for it is a seventh of the time that importing takes
    import structlog

    from actors.admission import Refused
    from actors.http_server import CannotListen, check_address
    from actors.node import Node
    from actors.process import serve
    from actors.runtime import TooManyRestarts
    from actors.wiring import production_resources
    from service.telemetry.logs import configure
    from service.telemetry.tracing import start

    gc.enable()
    settings = read(environment)
    if args.rehearsal:
        _require_loopback_email(settings)
    try:
        check_address(settings.bind_host, settings.bind_port)
    except CannotListen as error:
        raise CommandFailed(str(error)) from error

    async def work(stop: asyncio.Event) -> int:
        tracing = start(settings)
        ids = tracing.ids if tracing.on else None
        colors = in_color(sys.stderr, environment)
        configure(settings.log_level, settings.log_format, ids=ids, colors=colors, node=settings.node_id)
        for variable in settings.unknown:
            structlog.get_logger(__name__).warning("setting_unknown", name=variable.name, nearest=variable.nearest)
        resources = partial(production_resources, tracing=tracing)
        try:
            node = Node(
                settings, failpoint=args.crash_at, rehearsal=args.rehearsal, resources=resources, tracing=tracing
            )
            clean = await node.run(stop)
        except (Refused, TooManyRestarts) as failure:
            raise CommandFailed(str(failure)) from failure
        except BadConfiguration:
            raise
        except Exception as error:
            # A traceback of the interpreter could quote personal data. The log leaves it out.
            structlog.get_logger(__name__).critical("node_crashed", exc_info=error)
            return FAILED
        finally:
            await tracing.close()
        return OK if clean else FAILED

    return serve(work)


def _require_loopback_email(settings: Settings) -> None:
    hosts = {one.prefix: urlsplit(one.url).hostname or "" for one in settings.email_services}
    if errors := [
        f"--rehearsal: expected HEYDAY_{prefix}_URL on a loopback address, not on {host!r}"
        for prefix, host in hosts.items()
        if not is_loopback(host)
    ]:
        raise BadConfiguration(errors)


def _failpoint(text: str) -> FailpointHook:
    name, _, times = text.partition(":")
    try:
        return crash_at(Failpoint(name), whole_number(1, 1_000_000)(times or "1"))
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"expected FAILPOINT or FAILPOINT:N, not {text!r}") from None
