"""All checks of `heyday doctor`. They run at the same time, each with a deadline, and are shown in a fixed order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from actors.commands.doctor.adoption import Adoption
from actors.commands.doctor.check_results import CHECK_TIMEOUT, Check, CheckReport, Level, run_check, warning
from actors.commands.doctor.email import check_email
from actors.commands.doctor.environment_checks import (
    check_cluster,
    check_limits,
    check_nodes,
    check_settings,
    check_zones,
)
from actors.commands.doctor.node_reports import NodeReports
from actors.commands.doctor.postgres import check_postgres
from actors.commands.doctor.rabbitmq import check_rabbitmq
from actors.commands.doctor.redis import check_redis
from actors.commands.output import counted
from service.adapters.postgres.connection import Database
from service.adapters.redis.checkup import RedisCheckup
from service.adapters.redis.connection import RedisClients
from service.adapters.redis.snapshots import RedisSnapshots
from service.api.http.json_text import encode
from service.ports.names import DUE, PLAN, STREAMS
from service.settings import Settings

Say = Callable[[str], None]

_OF_POSTGRES = frozenset({"postgres", "rabbitmq", "cluster", "nodes", "limits"})
"""The checks whose longest waits are for PostgreSQL. Clients of the other servers give up before a check does."""


async def run_checks(settings: Settings, database: Database, redis: RedisClients) -> list[CheckReport]:
    """Run every check. No check changes anything."""
    streams = STREAMS if settings.rabbitmq_url is None else (PLAN, DUE)
    reports = NodeReports(database, RedisSnapshots(redis.commands))
    checks: dict[str, Check] = {
        "settings": partial(check_settings, settings),
        "postgres": partial(check_postgres, settings, database),
        "redis": partial(check_redis, RedisCheckup(redis.commands), streams),
        "rabbitmq": partial(check_rabbitmq, settings.rabbitmq_url, database, reports),
        "email service": partial(check_email, settings.email),
        "cluster": partial(check_cluster, Adoption(settings, database, redis)),
        "nodes": partial(check_nodes, database, reports, fallback=settings.email_fallback is not None),
        "limits": partial(check_limits, database),
        "tzdata": check_zones,
    }
    if settings.email_fallback is not None:
        checks["fallback email service"] = partial(check_email, settings.email_fallback)
    running = (
        run_check(name, check, within=CHECK_TIMEOUT, server="postgres" if name in _OF_POSTGRES else None)
        for name, check in checks.items()
    )
    return _said_once(await asyncio.gather(*running))


def _said_once(reports: list[CheckReport]) -> list[CheckReport]:
    """Let a check that needs an unusable server refer to the check of that server, which says what to do."""
    unusable = {one.name for one in reports for result in one.results if result.unusable == one.name}
    return [
        replace(
            one,
            results=tuple(
                warning(f"not checked: see {result.unusable}") if result.unusable in unusable - {one.name} else result
                for result in one.results
            ),
        )
        for one in reports
    ]


def show(reports: list[CheckReport], *, as_json: bool, say: Say) -> bool:
    """Write every report and a summary. True when no result is an error; warnings do not count."""
    worst = max((one.level for one in reports), key=list(Level).index)
    if as_json:
        say(encode({"level": worst, "checks": [one.as_json() for one in reports]}).decode())
        return worst is not Level.ERROR
    for one in reports:
        for line in one.as_lines():
            say(line)
    say("")
    if worst is Level.ERROR:
        say(f"Not well: {_count(reports, Level.ERROR)}, {_count(reports, Level.WARNING)}.")
    else:
        say(f"No errors, {_count(reports, Level.WARNING)}." if worst is Level.WARNING else "All well.")
    return worst is not Level.ERROR


def _count(reports: list[CheckReport], level: Level) -> str:
    number = sum(1 for one in reports for result in one.results if result.level is level)
    return counted(number, level)
