"""Sets up the environment of a rehearsal: servers, schema, fake email service, and slots for the nodes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from actors.commands.chaos.configuration import Configuration
from actors.commands.chaos.environment import Environment
from actors.commands.chaos.faults import KINDS, Need
from actors.commands.chaos.fleet import SETTINGS, fleet_of, why_not_relayed
from actors.commands.chaos.options import EMBEDDED, ChaosOptions
from actors.commands.chaos.preflight import require_empty
from actors.commands.chaos.servers import Servers, given_servers, own_servers
from actors.commands.sandbox.email_stub import EmailStub, StubOptions
from actors.commands.sandbox.servers.ports import LOOPBACK
from service.adapters.postgres.connection import Database
from service.adapters.postgres.migrations import migrate
from service.settings import Settings


async def set_up(
    stack: AsyncExitStack,
    options: ChaosOptions,
    configuration: Configuration,
    directory: Path,
    say: Callable[[str], None],
) -> Environment:
    """Start everything except the nodes. The stack ends it. Raises EmbeddedError, Unavailable, NotEmpty."""
    settings = configuration.settings
    servers = await _servers(stack, options, settings, directory)
    database = Database(servers.database_url, size=2)
    await database.open()
    stack.push_async_callback(database.close)
    # This comes first: nothing may be changed in a database that holds data.
    await require_empty(servers, database)
    await migrate(servers.database_url)
    stub = EmailStub(StubOptions(seed=options.seed, keep=2 * options.greetings + 10_000))
    await stub.listen(LOOPBACK, 0)
    stack.push_async_callback(stub.close)

    urls = {
        "postgres": servers.database_url,
        "redis": servers.redis_url,
        "rabbitmq": servers.rabbitmq_url,
        "email": stub.url,
    }
    _note_what_is_impossible(servers, urls)
    node_settings = configuration.nodes | {SETTINGS[system]: url for system, url in urls.items() if url}
    fleet = await stack.enter_async_context(fleet_of(options.nodes, directory, node_settings))
    queue = "RabbitMQ" if servers.rabbitmq_url else "a Redis stream as delivery queue"
    say(f" logs       {directory}")
    say(f" servers    PostgreSQL, Redis, {queue}")
    return Environment(servers, fleet, stub, database, settings)


async def _servers(stack: AsyncExitStack, options: ChaosOptions, settings: Settings, directory: Path) -> Servers:
    if options.servers != EMBEDDED:
        return given_servers(settings.database_url, settings.redis_url, settings.rabbitmq_url)
    connections = options.nodes * settings.connections_of_node
    needs = {need for name in options.faults for need in KINDS[name].needs}
    own = own_servers(directory, connections=connections, needs=needs)
    return await stack.enter_async_context(own)


def _note_what_is_impossible(servers: Servers, urls: dict[str, str | None]) -> None:
    for need in (Need.RELAYED_POSTGRES, Need.RELAYED_REDIS, Need.RELAYED_RABBITMQ):
        url = urls[need.name.removeprefix("RELAYED_").lower()]
        if url and (why := why_not_relayed(url)):
            servers.lacking[need] = why
    if sys.platform != "linux":
        servers.lacking[Need.PROCESS_LIMITS] = "only Linux can limit the memory and descriptors of a running process"
