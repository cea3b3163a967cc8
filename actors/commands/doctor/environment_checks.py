"""Checks beside the servers: settings, zone data, cluster identity, nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from actors.commands.doctor.adoption import Adoption
from actors.commands.doctor.check_results import CheckResult, error, ok, warning
from actors.commands.doctor.node_reports import NodeReports
from actors.commands.doctor.transport import exposed
from service.adapters.postgres.checkup import LivingNode, PostgresCheckup
from service.adapters.postgres.connection import Database
from service.adapters.postgres.limits import PostgresLimits
from service.domain.cluster import REASONS, DatabaseCheck
from service.domain.zones import TZDATA_VERSION, zone_names
from service.node.lease import DEATH_TIMEOUT
from service.settings import Settings


async def check_settings(settings: Settings) -> list[CheckResult]:
    """Report settings that are allowed but risky."""
    results = [ok("every setting can be read")]
    if not settings.api_keys:
        results.append(warning("HEYDAY_API_KEYS is empty: every user of this machine may use the API"))
    if settings.email_timeout.total_seconds() < 1:
        results.append(warning("HEYDAY_EMAIL_TIMEOUT is below a second: slow answers become unknown outcomes"))
    if settings.cluster is None:
        results.append(
            warning("HEYDAY_CLUSTER is not set: a copy of both PostgreSQL and Redis is not recognised as a copy")
        )
    if settings.only_to is not None:
        results.append(warning(f"HEYDAY_ONLY_TO: only {len(settings.only_to)} addresses and domains are written to"))
    results += [warning(str(variable)) for variable in settings.unknown]
    return [*results, *(warning(sentence) for sentence in exposed(settings))]


async def check_zones() -> list[CheckResult]:
    """Check the age of the zone data: governments change time zones several times a year."""
    text = f"tzdata {TZDATA_VERSION}, {len(zone_names())} zones"
    if int(TZDATA_VERSION[:4]) < datetime.now(UTC).year - 1:
        return [warning(f"{text}: more than a year old; install a newer heyday, or a newer tzdata")]
    return [ok(text)]


async def check_cluster(adoption: Adoption) -> list[CheckResult]:
    """Check that nodes accept this database. Raises Unavailable."""
    situation = await adoption.look()
    identity = situation.seen.identity
    match situation.finding:
        case finding if finding.refused:
            return [error(f"{REASONS[finding]}: nodes send nothing; run `heyday doctor --adopt --dry-run`")]
        case DatabaseCheck.NEW:
            return [ok("a new database: the first node gives it an identity")]
        case DatabaseCheck.MOVED:
            return [ok("the database was moved, and nothing was lost: nodes accept it")]
    assert identity is not None  # noqa: S101 - every other outcome has one
    name = f" {identity.name}" if identity.name else ""
    return [ok(f"the database is that of cluster{name} {identity.id}, generation {identity.generation}")]


async def check_nodes(database: Database, reports: NodeReports, *, fallback: bool) -> list[CheckResult]:
    """List the living nodes, and those that may not call the email service. Raises Unavailable.

    `fallback` is True if there is a second email service.
    """
    nodes = await PostgresCheckup(database).nodes()
    if not nodes:
        return [warning("no node is running: nothing is sent")]
    silent = [one for one in nodes if one.silent > DEATH_TIMEOUT]
    results = [
        warning(f"node {one.node} has sent no heartbeat for {one.silent:.0f} s: another node takes over its work")
        for one in silent
    ]
    if len(silent) == len(nodes):
        return [*results, error("every running node has stopped sending heartbeats: nothing is sent")]
    alive = [one for one in nodes if one not in silent]
    results.append(ok(f"{len(alive)} alive: {', '.join(one.node for one in alive)}"))
    return [*results, *await reports.circuits(fallback=fallback), *compare_nodes(alive)]


def compare_nodes(nodes: Sequence[LivingNode]) -> list[CheckResult]:
    """Name each setting in which living nodes differ, with the values, and the versions if there are several."""
    told = [one for one in nodes if one.settings is not None]
    results = [
        warning(f"node {one.node} is of an earlier version, which does not tell its settings")
        for one in nodes
        if one.settings is None
    ]
    results += _differences("version", {one.node: one.version or "unknown" for one in told})
    for name in sorted({name for one in told for name in one.settings or {}}):
        values = {one.node: (one.settings or {}).get(name, "unknown") for one in told}
        results += _differences(f"HEYDAY_{name.upper()}", values)
    if len(told) > 1 and not results:
        results.append(ok("all nodes have the same version and settings; their addresses, ports and names may differ"))
    return results


def _differences(name: str, values: Mapping[str, str]) -> list[CheckResult]:
    nodes_of: dict[str, list[str]] = {}
    for node, value in sorted(values.items()):
        nodes_of.setdefault(value, []).append(node)
    if len(nodes_of) < 2:
        return []
    each = "; ".join(f"{value} on {', '.join(nodes)}" for value, nodes in nodes_of.items())
    return [warning(f"{name} differs between nodes: {each}")]


async def check_limits(database: Database) -> list[CheckResult]:
    """List the run-time limits, which stand above the settings. Raises Unavailable."""
    changes = await PostgresLimits(database).read()
    limits = [
        ok(f"{one.name} is {one.value} on every node, by {one.author} since {one.changed_at:%Y-%m-%d %H:%M} UTC")
        for one in changes
        if one.value is not None
    ]
    return limits or [ok("no limit is set: the settings of each node decide")]
