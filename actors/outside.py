"""What a node works with outside of itself, as ports; in production these are the servers that its settings name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from actors.api.parts import ApiParts
from actors.api.server import ApiServer
from actors.recognition import Recognition
from actors.runtime import Actor
from service.adapters.email.circuit import Attempts
from service.adapters.email.http import HttpEmailService
from service.adapters.postgres.cluster import PostgresCluster, look_through
from service.adapters.postgres.connection import Database
from service.adapters.postgres.history import PostgresHistory
from service.adapters.postgres.idempotency import PostgresIdempotency, PostgresKeptAnswers
from service.adapters.postgres.messages import PostgresMessages
from service.adapters.postgres.migrations import latest, missing
from service.adapters.postgres.nodes import PostgresNodes
from service.adapters.postgres.planning import PostgresPlanning
from service.adapters.postgres.preview import PostgresPreviews
from service.adapters.postgres.users import PostgresUsers
from service.adapters.postgres.zone_data import PostgresZoneData
from service.adapters.rabbitmq import RabbitMQDeliveryQueue
from service.adapters.redis.accepted import RedisAcceptedKeys
from service.adapters.redis.cluster import RedisClusterWitness
from service.adapters.redis.connection import RedisClients, connect
from service.adapters.redis.locks import RedisLocks
from service.adapters.redis.rate import RedisRateLimit, Unlimited
from service.adapters.redis.request_rate import RedisRequestRate
from service.adapters.redis.streams import DUE, PLAN, RedisWorkStream
from service.adapters.stream_queue import StreamDeliveryQueue
from service.domain.zones import TZDATA_VERSION
from service.ports import (
    AcceptedKeys,
    DeliveryQueue,
    History,
    Idempotency,
    KeptAnswers,
    Locks,
    Messages,
    Nodes,
    Planning,
    PoolState,
    Previews,
    RateLimit,
    RequestRate,
    Users,
    WorkStream,
    ZoneData,
)
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import OFF, Tracing

PREFETCH = 8
"""Bundles that a node takes ahead, of up to 50 messages each: enough to keep its senders busy, little to give back."""

KEPT_FROM_API = 2
"""Connections of the pool that requests never have: however many come at once, no greeting waits behind them."""


@dataclass(frozen=True)
class Outside:
    """The ports of one node, and how to open and close what is behind them.

    `attempts` makes one call of the email service (the circuit is the node's own), `api` is the actor that serves HTTP,
    `pool` tells how the database's connections are used, `lacking` which migrations the database lacks, `schema` the
    last that it has, and `recognise` raises NotAdopted when the database is not the one that this cluster worked with.
    `on_other_database` takes what is to be called as soon as a new connection turns out to lead to another one.
    """

    messages: Messages
    planning: Planning
    nodes: Nodes
    zone_data: ZoneData
    users: Users
    history: History
    previews: Previews
    idempotency: Idempotency
    kept_answers: KeptAnswers
    streams: Mapping[str, WorkStream]
    locks: Locks
    accepted: AcceptedKeys
    rate: RateLimit
    request_rate: RequestRate | None
    queue: DeliveryQueue
    attempts: Attempts
    api: Callable[[ApiParts], Actor[Any]]
    pool: Callable[[], PoolState]
    lacking: Callable[[], Awaitable[Sequence[str]]]
    schema: Callable[[], Awaitable[int]]
    recognise: Callable[[], Awaitable[None]]
    on_other_database: Callable[[Callable[[], None]], None]
    open: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]


MakeOutside = Callable[[Settings, Metrics, Callable[[], int]], Outside]
"""Makes the ports of a node from its settings, its metrics, and the number of nodes that it knows to be alive."""


def servers(settings: Settings, metrics: Metrics, living: Callable[[], int], *, tracing: Tracing = OFF) -> Outside:
    """PostgreSQL, Redis, perhaps RabbitMQ, and the email service over HTTP. Nothing is connected yet."""

    def observe(query: str, seconds: float) -> None:
        metrics.db_query.labels(query).observe(seconds)
        tracing.statement(query, seconds)

    database = Database(
        settings.database_url,
        size=settings.database_connections,
        observe=observe,
        waited=metrics.db_wait.observe,
        opened=lambda connection: recognition.opened(partial(look_through, connection)),
    )
    for_api = database.share(settings.database_connections - KEPT_FROM_API)
    redis = connect(settings.redis_url)
    queue = _queue(settings, redis)
    recognition = Recognition(PostgresCluster(database), RedisClusterWitness(redis.commands), name=settings.cluster)

    def on_other_database(call: Callable[[], None]) -> None:
        recognition.on_other = call

    async def lacking() -> list[str]:
        async with database.connection() as connection:
            return await missing(connection)

    async def schema() -> int:
        async with database.connection() as connection:
            return await latest(connection)

    async def close() -> None:
        await queue.close()
        await redis.close()
        await database.close()

    return Outside(
        messages=PostgresMessages(database),
        planning=PostgresPlanning(database),
        nodes=PostgresNodes(database, tzdata=TZDATA_VERSION),
        zone_data=PostgresZoneData(database, release=TZDATA_VERSION),
        users=PostgresUsers(for_api, late_limit=settings.late_limit, tzdata=TZDATA_VERSION),
        history=PostgresHistory(for_api),
        previews=PostgresPreviews(for_api, late_limit=settings.late_limit),
        idempotency=PostgresIdempotency(for_api),
        kept_answers=PostgresKeptAnswers(database),
        streams={
            name: RedisWorkStream(redis.commands, redis.blocking, name, consumer=settings.node_id)
            for name in (PLAN, DUE)
        },
        locks=RedisLocks(redis.commands, owner=settings.node_id),
        accepted=RedisAcceptedKeys(redis.commands, late_limit=settings.late_limit),
        rate=_rate(settings, redis, living),
        request_rate=_request_rate(settings, redis),
        queue=queue,
        attempts=HttpEmailService(
            settings.email_url, timeout=settings.email_timeout, concurrency=settings.email_concurrency
        ),
        api=ApiServer,
        pool=lambda: database.state,
        lacking=lacking,
        schema=schema,
        recognise=recognition.check,
        on_other_database=on_other_database,
        open=database.open,
        close=close,
    )


def _queue(settings: Settings, redis: RedisClients) -> DeliveryQueue:
    if settings.rabbitmq_url:
        return RabbitMQDeliveryQueue(settings.rabbitmq_url, prefetch=PREFETCH)
    return StreamDeliveryQueue(redis, consumer=settings.node_id)


def _request_rate(settings: Settings, redis: RedisClients) -> RequestRate | None:
    if (limit := settings.rate_limit) is None:
        return None
    return RedisRequestRate(redis.commands, limit.per_second, at_once=limit.at_once)


def _rate(settings: Settings, redis: RedisClients, living: Callable[[], int]) -> RateLimit:
    if settings.email_rate is None:
        return Unlimited()
    return RedisRateLimit(redis.commands, settings.email_rate.per_second, nodes=lambda: max(1, living()))
