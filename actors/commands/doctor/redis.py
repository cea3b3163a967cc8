"""Checks of Redis: version, whether it keeps what it has, whether it throws things away, and who holds what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from actors.doctor.remarks import Remark, bad, warning, well
from service.adapters.redis.checkup import RedisCheckup

OLDEST_VERSION = (6, 2)
"""The first with everything that is asked of its streams."""


async def check_redis(checkup: RedisCheckup) -> list[Remark]:
    """Everything about Redis. Raises Unavailable."""
    info = await checkup.info()
    living = await checkup.streams()
    return [*_server(info), *_eviction(info), *_streams(living)]


def _server(info: Mapping[str, Any]) -> Iterator[Remark]:
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version"))
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    yield (bad if parts < OLDEST_VERSION else well)(f"{name} {version}")
    if info.get("role") not in {None, "master"}:
        yield bad("this is a replica, which cannot be written to: HEYDAY_REDIS_URL must lead to the primary")
    if info.get("loading"):
        yield bad("it is still loading its data")
    if not info.get("aof_enabled") and not info.get("rdb_last_save_time"):
        yield warning("it keeps nothing on disk: harmless, but after its restart work is found again from the rows")
    if info.get("rdb_last_bgsave_status") == "err" or info.get("aof_last_write_status") == "err":
        yield bad("it could not write to its disk, and may refuse writes: look at its log")


def _eviction(info: Mapping[str, Any]) -> list[Remark]:
    policy, most = info.get("maxmemory_policy"), int(info.get("maxmemory") or 0)
    used = int(info.get("used_memory") or 0)
    if most and used > most * 0.9:
        return [bad(f"it uses {used >> 20} of {most >> 20} MiB: it is about to refuse writes")]
    if most and policy != "noeviction":
        return [warning(f"maxmemory-policy is {policy}: under pressure it throws work away; set noeviction")]
    return [well(f"it throws nothing away, and uses {used >> 20} MiB")]


def _streams(streams: Mapping[str, tuple[int, dict[str, int]] | None]) -> Iterator[Remark]:
    for name, state in streams.items():
        if state is None:
            yield warning(f"the stream {name} has no consumer group: the first node makes it; is one running?")
            continue
        length, pending = state
        held = ", ".join(f"{consumer} {count}" for consumer, count in sorted(pending.items()))
        yield well(f"{name} has {length} entries, pending: {held or 'none'}")
