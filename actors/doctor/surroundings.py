"""Checks of what stands around the servers: the settings, the zone data, the cluster's identity, the nodes."""

from __future__ import annotations

from datetime import UTC, datetime

from actors.doctor.adoption import Adoption
from actors.doctor.remarks import Remark, bad, warning, well
from actors.doctor.transport import exposed
from actors.lease import DEATH
from service.adapters.postgres.checkup import PostgresCheckup
from service.adapters.postgres.connection import Database
from service.domain.cluster import REASONS, Finding
from service.domain.zones import TZDATA_VERSION, zone_names
from service.settings import Settings


async def check_settings(settings: Settings) -> list[Remark]:
    """What is allowed, and yet worth a thought."""
    remarks = [well("every setting can be read")]
    if not settings.api_keys:
        remarks.append(warning("HEYDAY_API_KEYS is empty: everybody on this machine may use the API"))
    if settings.email_timeout.total_seconds() < 1:
        remarks.append(warning("HEYDAY_EMAIL_TIMEOUT is below a second: slow answers become unknown outcomes"))
    if settings.cluster is None:
        remarks.append(warning("HEYDAY_CLUSTER is not set: a copy of every file of both stores is not recognised"))
    return [*remarks, *(warning(sentence) for sentence in exposed(settings))]


async def check_zones() -> list[Remark]:
    """How old the zone data is: governments change it several times a year."""
    text = f"tzdata {TZDATA_VERSION}, {len(zone_names())} zones"
    if int(TZDATA_VERSION[:4]) < datetime.now(UTC).year - 1:
        return [warning(f"{text}: older than a year; install a newer heyday, or a newer tzdata")]
    return [well(text)]


async def check_cluster(adoption: Adoption) -> list[Remark]:
    """Whether nodes work with this database. Raises Unavailable."""
    situation = await adoption.look()
    identity = situation.seen.identity
    match situation.finding:
        case finding if finding.refused:
            return [bad(f"{REASONS[finding]}: nodes send nothing; `heyday doctor --adopt --dry-run` says what to do")]
        case Finding.NEW:
            return [well("a fresh database: the first node gives it an identity")]
        case Finding.MOVED:
            return [well("the database has moved, and nothing was lost: nodes work with it")]
    assert identity is not None  # noqa: S101 - it is the same as before
    name = f" {identity.name}" if identity.name else ""
    return [well(f"the database is that of cluster{name} {identity.id}, generation {identity.generation}")]


async def check_nodes(database: Database) -> list[Remark]:
    """Who lives. Raises Unavailable."""
    nodes = await PostgresCheckup(database).nodes()
    if not nodes:
        return [warning("no node is running: nothing is sent")]
    silent = [one for one in nodes if one.silent > DEATH]
    remarks = [
        warning(f"node {one.node} was not heard for {one.silent:.0f} s: a living one takes its work over")
        for one in silent
    ]
    if len(silent) == len(nodes):
        return [*remarks, bad("no node that is listed as running is heard: nothing is sent")]
    return [*remarks, well(f"{len(nodes) - len(silent)} nodes are alive")]
