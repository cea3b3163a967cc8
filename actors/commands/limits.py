"""`heyday limits`: shows, sets and removes the run-time limits, which stand above the settings of all nodes."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence

from actors.commands.exit_codes import OK
from actors.commands.principal import command_line
from service.adapters.postgres.checkup import LivingNode, PostgresCheckup
from service.adapters.postgres.connection import Database
from service.adapters.postgres.limits import PostgresLimits
from service.api.http.json_text import encode
from service.api.representations.limits import FIELDS, value_json
from service.domain.limits import LimitChange, LimitName
from service.limits import checked
from service.settings import Secret, read_database_url

_OPTIONS = {name: name.value.replace("_", "-") for name in LimitName}
"""The limits as they are written on the command line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands and their arguments. Without one, the limits are shown."""
    _json(parser, default=False)
    actions = parser.add_subparsers(metavar="ACTION", dest="action")
    show = actions.add_parser("show", help="show the limits, and the settings of the nodes (the default)")
    change = actions.add_parser("set", help="set limits for all nodes, within a second, until they are removed")
    change.add_argument("--email-rate", metavar="RATE", type=_value(LimitName.EMAIL_RATE), help="such as 50/s, or off")
    change.add_argument(
        "--email-concurrency", metavar="CALLS", type=_value(LimitName.EMAIL_CONCURRENCY), help="calls of each node"
    )
    change.add_argument(
        "--log-level", metavar="LEVEL", type=_value(LimitName.LOG_LEVEL), help="debug, info, warning or error"
    )
    remove = actions.add_parser("remove", help="remove limits, so that the settings decide again")
    remove.add_argument("names", metavar="LIMIT", nargs="+", choices=list(_OPTIONS.values()), help="such as email-rate")
    for action in (show, change, remove):
        _json(action, default=argparse.SUPPRESS)  # else it would take back what stands before the action


def _json(parser: argparse.ArgumentParser, *, default: object) -> None:
    parser.add_argument(
        "--json", action="store_true", default=default, help="write JSON: each limit, and the settings of the nodes"
    )


def run(args: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run the sub-command and return the exit code. Raises BadConfiguration, Unavailable."""
    values: dict[LimitName, str | None] = {}
    if args.action == "set":
        values = {name: value for name in LimitName if (value := getattr(args, name.value)) is not None}
        if not values:
            args.parser.error("set: expected one of " + ", ".join(f"--{option}" for option in _OPTIONS.values()))
    elif args.action == "remove":
        values = {name: None for name, option in _OPTIONS.items() if option in args.names}
    return asyncio.run(_run(read_database_url(environment), values, as_json=args.json))


async def _run(dsn: Secret, values: Mapping[LimitName, str | None], *, as_json: bool) -> int:
    database = Database(dsn, size=1)
    await database.open()
    try:
        limits = PostgresLimits(database)
        changes = before = await limits.read()
        if values:
            changes = await limits.change(values, by=command_line())
        nodes = await PostgresCheckup(database).nodes()
    finally:
        await database.close()
    _write({one.name: one for one in changes}, nodes, as_json=as_json)
    if as_json or not values:
        return OK
    set_before = {one.name for one in before if one.value is not None}
    none = [name for name, value in values.items() if value is None and name not in set_before]
    for name in none:
        sys.stdout.write(f"There was no limit {_OPTIONS[name]} to remove.\n")
    if len(none) < len(values):
        sys.stdout.write("Within a second no node begins a call by an earlier value.\n")
    return OK


def _write(changes: Mapping[LimitName, LimitChange], nodes: Sequence[LivingNode], *, as_json: bool) -> None:
    if as_json:
        content = {FIELDS[name]: _as_json(name, changes.get(name), nodes) for name in LimitName}
        sys.stdout.write(encode(content).decode() + "\n")
        return
    for name, option in _OPTIONS.items():
        sys.stdout.write(f"{option}  {_sentence(name, changes.get(name), nodes)}\n")


def _as_json(name: LimitName, change: LimitChange | None, nodes: Sequence[LivingNode]) -> dict[str, object]:
    return {
        "limit": None if change is None or change.value is None else value_json(name, change.value),
        "author": change and change.author,
        "changedAt": change and change.changed_at,
        "settings": {node: value_json(name, value) for node, value in _settings(name, nodes).items()},
    }


def _sentence(name: LimitName, change: LimitChange | None, nodes: Sequence[LivingNode]) -> str:
    settings = _settings(name, nodes)
    of_nodes = sorted(set(settings.values()))
    setting = f"{name.variable} is {' or '.join(of_nodes)}" if of_nodes else f"no node tells its {name.variable}"
    if change is None:
        return f"no limit: {setting}"
    since = f"by {change.author} since {change.changed_at:%Y-%m-%d %H:%M} UTC"
    return f"removed {since}: {setting}" if change.value is None else f"{change.value} {since} ({setting})"


def _settings(name: LimitName, nodes: Sequence[LivingNode]) -> dict[str, str]:
    """The setting of each living node that tells it."""
    return {one.node: one.settings[name] for one in nodes if one.settings is not None and name in one.settings}


def _value(name: LimitName) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            return checked(name, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected {error}, not {text!r}") from None

    return parse
