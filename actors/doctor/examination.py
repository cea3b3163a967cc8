"""All checks of `heyday doctor`, made at the same time, each with its deadline, and shown in one order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from actors.api.answers import encode
from actors.doctor.adoption import Adoption
from actors.doctor.email import check_email
from actors.doctor.postgres import check_postgres
from actors.doctor.rabbitmq import check_rabbitmq
from actors.doctor.redis import check_redis
from actors.doctor.remarks import Check, Examined, Level, examine
from actors.doctor.surroundings import check_cluster, check_nodes, check_settings, check_zones
from service.adapters.postgres.connection import Database
from service.adapters.redis.checkup import RedisCheckup
from service.adapters.redis.connection import RedisClients
from service.settings import Settings

Say = Callable[[str], None]


async def examine_all(settings: Settings, database: Database, redis: RedisClients) -> list[Examined]:
    """What every check found; none of them changes anything."""
    checks: dict[str, Check] = {
        "settings": partial(check_settings, settings),
        "postgres": partial(check_postgres, settings, database),
        "redis": partial(check_redis, RedisCheckup(redis.commands)),
        "rabbitmq": partial(check_rabbitmq, settings.rabbitmq_url),
        "email service": partial(check_email, settings.email_url),
        "cluster": partial(check_cluster, Adoption(settings, database, redis)),
        "nodes": partial(check_nodes, database),
        "tzdata": check_zones,
    }
    return list(await asyncio.gather(*(examine(name, check) for name, check in checks.items())))


def show(examined: list[Examined], *, as_json: bool, say: Say) -> bool:
    """Say it all, with a verdict at the end; True when nothing is bad. Warnings are no reason to stop anybody."""
    worst = max((one.level for one in examined), key=list(Level).index)
    if as_json:
        say(encode({"level": worst, "checks": [one.as_json() for one in examined]}).decode())
        return worst is not Level.BAD
    for one in examined:
        for line in one.as_lines():
            say(line)
    counts = {level: sum(1 for one in examined for remark in one.remarks if remark.level is level) for level in Level}
    say("")
    if worst is Level.BAD:
        say(f"Not well: {counts[Level.BAD]} to mend, {counts[Level.WARNING]} warnings.")
    else:
        say(f"All well, {counts[Level.WARNING]} warnings." if counts[Level.WARNING] else "All well.")
    return worst is not Level.BAD
