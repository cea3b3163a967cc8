"""Checks of Redis: version, persistence, eviction, streams and their pending entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from actors.commands.doctor.check_results import CheckResult, error, ok, run_part, warning
from actors.commands.output import counted
from service.adapters.redis.checkup import RedisCheckup

OLDEST_VERSION = (6, 2)
"""The first version with every stream command that heyday uses."""


async def check_redis(checkup: RedisCheckup, names: Sequence[str]) -> list[CheckResult]:
    """Check the server, then these streams. Raises Unavailable."""

    async def server() -> list[CheckResult]:
        if (info := await checkup.info()) is None:
            return [warning("this user may not run INFO: version, persistence and eviction are not checked")]
        return [*_server(info), *_eviction(info)]

    async def streams() -> list[CheckResult]:
        return list(_streams(await checkup.streams(names)))

    return [*await run_part("the server", server), *await run_part("the streams", streams)]


def _server(info: Mapping[str, Any]) -> Iterator[CheckResult]:
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version"))
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    yield (error if parts < OLDEST_VERSION else ok)(f"{name} {version}")
    if info.get("role") not in {None, "master"}:
        yield error("this is a read-only replica: HEYDAY_REDIS_URL must lead to the primary")
    if info.get("loading"):
        yield error("it is still loading its data")
    if not info.get("aof_enabled") and not info.get("rdb_last_save_time"):
        yield warning("it keeps nothing on disk: after a restart, nodes find the work again from the database")
    if info.get("rdb_last_bgsave_status") == "err" or info.get("aof_last_write_status") == "err":
        yield error("it could not write to its disk and may refuse writes: see its log")


def _eviction(info: Mapping[str, Any]) -> list[CheckResult]:
    policy, most = info.get("maxmemory_policy"), int(info.get("maxmemory") or 0)
    used = int(info.get("used_memory") or 0)
    if most and used > most * 0.9:
        return [error(f"it uses {used >> 20} of {most >> 20} MiB: it will refuse writes soon")]
    if most and policy != "noeviction":
        return [warning(f"maxmemory-policy is {policy}: it deletes work when memory is short; set noeviction")]
    return [ok(f"it evicts nothing, and uses {used >> 20} MiB")]


def _streams(streams: Mapping[str, tuple[int, dict[str, int]] | None]) -> Iterator[CheckResult]:
    for name, state in streams.items():
        if state is None:
            yield warning(f"the stream {name} has no consumer group: the first node creates it; start a node")
            continue
        length, pending = state
        held = ", ".join(f"{consumer} {count}" for consumer, count in sorted(pending.items()))
        yield ok(f"{name} has {counted(length, 'entry', 'entries')}, pending: {held or 'none'}")
