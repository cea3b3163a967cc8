"""Connects adapters to ports: the resources of a node, made from its settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, fields
from functools import partial
from importlib.metadata import version
from typing import Never, Protocol

import structlog

from actors.email_clients import WayOut, email_attempts
from actors.http_server import ApiServer
from actors.runtime import Actor
from service.adapters.email.access import Access
from service.adapters.email.circuit import Attempts, CircuitBreakingEmailService
from service.adapters.email.smtp import SmtpEmailService
from service.adapters.postgres.audit import PostgresAuditLog
from service.adapters.postgres.cluster import PostgresCluster, look_through
from service.adapters.postgres.connection import Database
from service.adapters.postgres.history import PostgresHistory
from service.adapters.postgres.holds import PostgresHolds
from service.adapters.postgres.idempotency import PostgresIdempotency
from service.adapters.postgres.limits import PostgresLimits
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.migrations import latest, missing
from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.postgres.occasions import PostgresOccasions
from service.adapters.postgres.overview import PostgresOverviews
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.preview import PostgresPreviews
from service.adapters.postgres.retention import PostgresRetention
from service.adapters.postgres.suppressions import PostgresSuppressions
from service.adapters.postgres.user_lists import PostgresUserLists
from service.adapters.postgres.users import PostgresUsers
from service.adapters.postgres.zone_data import PostgresZoneData
from service.adapters.rabbitmq import RabbitMQDeliveryQueue
from service.adapters.redis.accepted import RedisAcceptedKeys
from service.adapters.redis.cluster import RedisClusterWitness
from service.adapters.redis.connection import RedisClients, connect
from service.adapters.redis.delivery_queue import StreamDeliveryQueue
from service.adapters.redis.locks import RedisLocks
from service.adapters.redis.rate import RedisRateLimit
from service.adapters.redis.request_rate import RedisRequestRate
from service.adapters.redis.snapshots import RedisSnapshots
from service.adapters.redis.streams import RedisWorkStream
from service.api.dependencies import ApiDependencies
from service.domain.messages import EmailServiceName, UnavailableReason
from service.domain.planning import CalendarDefaults
from service.domain.retry import RetryPolicy
from service.domain.zones import TZDATA_VERSION
from service.email_settings import EmailServiceSettings, UnknownOutcome
from service.node.cluster_guard import ClusterGuard
from service.node.email_services import EmailPath, EmailServices
from service.node.secret_files import Replace
from service.ports import (
    AcceptedKeys,
    AuditLog,
    CircuitState,
    DeliveryQueue,
    History,
    Holds,
    Idempotency,
    Limits,
    Locks,
    Messages,
    NodeName,
    Nodes,
    Occasions,
    Overviews,
    Planning,
    PoolState,
    Previews,
    RateLimit,
    RequestRate,
    Retention,
    SetAside,
    Snapshots,
    Suppressions,
    Unavailable,
    Unsupported,
    UserLists,
    Users,
    WorkStream,
    ZoneData,
)
from service.ports.names import DUE, PLAN
from service.settings import HEARTBEAT_CONNECTIONS, BadConfiguration, Secret, Settings, effective
from service.telemetry.logs import use_fields
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import OFF, Tracing

log = structlog.get_logger(__name__)

PREFETCH = 4
"""Bundles that a node prefetches, of up to 200 messages. They keep the senders busy, and are quickly given back."""

CONNECTIONS_KEPT_FROM_API = 2
"""Connections of the pool that API requests cannot use, so that no greeting waits behind them."""


@dataclass(frozen=True)
class Resources:
    """The ports of one node, and how to open and close the connections behind them.

    `name` is that of the node's row and consumers. `node_holds` and `node_limits` are read by the node itself, beside
    its heartbeats. `attempts` makes one call of the email service, without a circuit, at `rate`. `fallback` has
    the same two for the fallback. `api` makes the actor that serves HTTP. `pool` counts the database's connections.
    `lacking` lists the migrations that the database lacks, and `schema` is the last that it has. `recognise` raises
    NotAdopted when the database is not the one that this cluster worked with. `on_database_changed` takes a callback
    for a new connection that leads to another database. `replacements` make a client use another value of a secret, by
    the variable of the secret. `resize` changes how many connections each email service may have, for a limit of calls
    in flight. `queue_policies` are those that dropped bundles lately, each with the seconds since then.
    """

    name: NodeName
    messages: Messages
    planning: Planning
    nodes: Nodes
    zone_data: ZoneData
    users: Users
    history: History
    holds: Holds
    suppressions: Suppressions
    occasions: Occasions
    node_holds: Holds
    limits: Limits
    node_limits: Limits
    user_lists: UserLists
    previews: Previews
    overviews: Overviews
    snapshots: Snapshots | None
    idempotency: Idempotency
    audit: AuditLog
    retention: Retention
    streams: Mapping[str, WorkStream]
    locks: Locks
    accepted: AcceptedKeys
    rate: RateLimit
    request_rate: RequestRate | None
    queue: DeliveryQueue
    attempts: Attempts
    api: Callable[[ApiDependencies], Actor[Never]]
    pool: Callable[[], PoolState]
    lacking: Callable[[], Awaitable[Sequence[str]]]
    schema: Callable[[], Awaitable[int]]
    recognise: Callable[[], Awaitable[None]]
    on_database_changed: Callable[[Callable[[], None]], None]
    open: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    replacements: Mapping[str, Replace] = field(default_factory=dict)
    fallback: tuple[Attempts, RateLimit] | None = None
    resize: Callable[[int], None] = lambda _concurrency: None
    queue_policies: Callable[[], Mapping[str, float]] = dict


MakeResources = Callable[[Settings, Metrics, Callable[[], int]], Resources]
"""Makes the resources of a node from its settings, its metrics, and the number of nodes that it knows to be alive."""


def production_resources(
    settings: Settings, metrics: Metrics, living: Callable[[], int], *, tracing: Tracing = OFF
) -> Resources:
    """Use PostgreSQL, Redis, RabbitMQ when the settings name it, and the email services. Connects nothing."""

    def observe(query: str, seconds: float) -> None:
        metrics.db_query.labels(query).observe(seconds)
        tracing.statement(query, seconds)

    database = Database(
        settings.database_url,
        size=settings.database_connections,
        observe=observe,
        waited=metrics.db_wait.observe,
        opened=lambda connection: guard.opened(partial(look_through, connection)),
    )
    # Heartbeats and readings of the holds never wait for a connection: a busy node must not look dead.
    heartbeats = Database(
        settings.database_url,
        size=HEARTBEAT_CONNECTIONS,
        observe=observe,
        opened=lambda connection: guard.opened(partial(look_through, connection)),
    )
    for_api = database.share(settings.database_connections - CONNECTIONS_KEPT_FROM_API)

    def named(name: str) -> None:
        metrics.name_node(name)
        use_fields(node=name)

    name = NodeName(settings.node_id, named)
    redis = connect(settings.redis_url)
    defaults = CalendarDefaults(settings.send_at, settings.leap_day)
    guard = ClusterGuard(PostgresCluster(heartbeats), RedisClusterWitness(redis.commands), name=settings.cluster)
    queue = _queue(settings, name, redis, metrics, guard)

    services = {one.name: email_attempts(one, timeout=settings.email_timeout) for one in settings.email_services}
    fallback = settings.email_fallback

    def on_database_changed(call: Callable[[], None]) -> None:
        guard.on_database_changed = call

    async def lacking() -> list[str]:
        async with database.connection() as connection:
            return await missing(connection)

    async def schema() -> int:
        async with database.connection() as connection:
            return await latest(connection)

    async def close() -> None:
        async with AsyncExitStack() as closing:  # in reverse order, and all of them
            for one in (database, heartbeats, redis, queue):
                closing.push_async_callback(one.close)

    async def use_database(url: Secret) -> None:
        await database.use(url)
        await heartbeats.use(url)

    def resize(concurrency: int) -> None:
        for one in settings.email_services:
            services[one.name].resize(one.calls(concurrency))

    async def open_all() -> None:
        with suppress(Unavailable):  # the actors wait out an outage
            try:
                await redis.refuse_cluster()
            except Unsupported as error:
                raise BadConfiguration([f"HEYDAY_REDIS_URL: {error.reason}"]) from error
        await database.open()
        await heartbeats.open()

    return Resources(
        name=name,
        messages=PostgresMessages(database, _report_set_aside(metrics), only_to=settings.only_to),
        planning=PostgresPlanning(
            database, defaults=defaults, late_limit=settings.late_limit, on_set_aside=_report_set_aside(metrics)
        ),
        nodes=PostgresNodes(
            database,
            heartbeats=heartbeats,
            tzdata=TZDATA_VERSION,
            defaults=defaults,
            version=version("heyday"),
            settings=effective(settings),
        ),
        zone_data=PostgresZoneData(database, release=TZDATA_VERSION, on_set_aside=_report_set_aside(metrics)),
        users=PostgresUsers(for_api, late_limit=settings.late_limit, tzdata=TZDATA_VERSION),
        history=PostgresHistory(for_api),
        holds=PostgresHolds(for_api),
        suppressions=PostgresSuppressions(for_api),
        occasions=PostgresOccasions(for_api),
        node_holds=PostgresHolds(heartbeats),
        limits=PostgresLimits(for_api),
        node_limits=PostgresLimits(heartbeats),
        user_lists=PostgresUserLists(for_api),
        previews=PostgresPreviews(for_api, late_limit=settings.late_limit, only_to=settings.only_to),
        overviews=PostgresOverviews(for_api),
        snapshots=RedisSnapshots(redis.commands),
        idempotency=PostgresIdempotency(for_api),
        audit=PostgresAuditLog(for_api),
        retention=PostgresRetention(database),
        streams={
            stream: RedisWorkStream(redis.commands, redis.blocking, stream, consumer=name) for stream in (PLAN, DUE)
        },
        locks=RedisLocks(redis.commands, owner=settings.node_id),
        accepted=RedisAcceptedKeys(redis.commands, late_limit=settings.late_limit),
        rate=_rate(settings.email, redis, living, name="email"),
        fallback=(services[fallback.name], _rate(fallback, redis, living, name="email-fallback")) if fallback else None,
        request_rate=_request_rate(settings, redis),
        queue=queue,
        queue_policies=queue.policies if isinstance(queue, RabbitMQDeliveryQueue) else dict,
        attempts=services[EmailServiceName.PRIMARY],
        api=ApiServer,
        pool=lambda: database.state,
        lacking=lacking,
        schema=schema,
        recognise=guard.check,
        on_database_changed=on_database_changed,
        open=open_all,
        close=close,
        replacements={
            "DATABASE_URL": use_database,
            "REDIS_URL": redis.use,
            **{
                name: use
                for one in settings.email_services
                for name, use in _email_replacements(one.prefix, services[one.name])
            },
            "EMAIL_HTML": partial(_replace_html, list(services.values())),
            **({"RABBITMQ_URL": queue.use} if isinstance(queue, RabbitMQDeliveryQueue) else {}),
        },
        resize=resize,
    )


def _email_replacements(prefix: str, attempts: WayOut) -> Iterator[tuple[str, Replace]]:
    """Yield for each secret of an email service its variable, and what makes the client use another value."""
    yield f"{prefix}_URL", attempts.use
    for one in fields(Access):
        yield f"{prefix}_{one.name.upper()}", _replace_access(attempts, one.name)


def _replace_access(attempts: WayOut, name: str) -> Replace:
    async def replace(value: Secret) -> None:
        await attempts.use_access(**{name: value})

    return replace


async def _replace_html(services: Iterable[WayOut], value: Secret) -> None:
    for service in services:
        if isinstance(service, SmtpEmailService):
            service.use_html(value)


def _report_set_aside(metrics: Metrics) -> Callable[[SetAside], None]:
    """Make the callback that counts and logs a message that is set aside.

    The server's reason stays in the database: it may quote a row.
    """

    def on_set_aside(message: SetAside) -> None:
        metrics.set_aside.labels(message.action).inc()
        fields = {
            "action": message.action,
            "failures": message.failures,
            "look_again_at": message.look_again_at.isoformat(),
        }
        if message.subject == "user":
            log.error("user_set_aside", user=str(message.id), **fields)
        else:
            log.error("message_set_aside", message=str(message.id), **fields)

    return on_set_aside


class CircuitListener(Protocol):
    """Gets the changes of a circuit, and the calls that count."""

    def changed(self, old: CircuitState, new: CircuitState, reason: UnavailableReason | None = None) -> None: ...

    def call_ended(self, success: bool) -> None: ...


def email_services(
    settings: Settings,
    resources: Resources,
    *,
    circuits: Mapping[EmailServiceName, CircuitListener],
    steady: Callable[[], float],
) -> tuple[EmailServices, Sequence[CircuitBreakingEmailService]]:
    """Put a circuit breaker before each email service. The caller opens and closes these."""
    breakers = []

    def path(service: EmailServiceSettings, attempts: Attempts, rate: RateLimit) -> EmailPath:
        listener = circuits[service.name]
        email = CircuitBreakingEmailService(
            attempts,
            failures=settings.circuit_failures,
            reset=settings.circuit_reset,
            on_change=listener.changed,
            on_result=listener.call_ended,
        )
        breakers.append(email)
        return EmailPath(email, rate, _retry_policy(settings, service))

    primary, fallback = path(settings.email, resources.attempts, resources.rate), None
    if settings.email_fallback is not None and resources.fallback is not None:
        fallback = path(settings.email_fallback, *resources.fallback)
    return EmailServices(primary, fallback, put_off=settings.circuit_reset, steady=steady), breakers


def highest_email_rate(primary: float | None, fallback: EmailServiceSettings | None) -> float | None:
    """The configured rate of the email service that takes more; None if one takes any."""
    if primary is None or fallback is None:
        return primary
    return None if fallback.rate is None else max(primary, fallback.rate.per_second)


def _queue(
    settings: Settings, name: NodeName, redis: RedisClients, metrics: Metrics, guard: ClusterGuard
) -> DeliveryQueue:
    if settings.rabbitmq_url:
        return RabbitMQDeliveryQueue(
            settings.rabbitmq_url,
            prefetch=PREFETCH,
            cluster=lambda: guard.cluster,
            on_dead_letters=metrics.queue_failed.inc,
        )
    return StreamDeliveryQueue(redis, consumer=name, on_dead_letters=metrics.queue_failed.inc)


def _request_rate(settings: Settings, redis: RedisClients) -> RequestRate | None:
    if (limit := settings.rate_limit) is None:
        return None
    return RedisRequestRate(redis.commands, limit.per_second, burst=limit.burst)


def _retry_policy(settings: Settings, service: EmailServiceSettings) -> RetryPolicy:
    """Make the policy for attempts at an email service."""
    return RetryPolicy(
        attempts=settings.email_attempts,
        base=settings.email_backoff,
        limit=settings.email_backoff_limit,
        hold=service.unknown_outcome is UnknownOutcome.HOLD,
        key_lasts=service.idempotency_lasts,
    )


def _rate(service: EmailServiceSettings, redis: RedisClients, living: Callable[[], int], *, name: str) -> RateLimit:
    rate = service.rate
    return RedisRateLimit(redis.commands, rate.per_second if rate else None, nodes=lambda: max(1, living()), name=name)
