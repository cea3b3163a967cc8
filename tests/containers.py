"""Servers in containers, for machines on which a Docker engine answers."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from actors.commands.sandbox.servers.ports import free_port
from actors.commands.sandbox.servers.postgres import create_database
from actors.commands.sandbox.servers.rabbitmq import shake_hands
from actors.commands.sandbox.servers.redis import ping

POSTGRES_IMAGE = "postgres:17"
REDIS_IMAGE = "redis:7"
RABBITMQ_IMAGE = "rabbitmq:4"

USER = "heyday"
PASSWORD = "throw-away"
READY_WITHIN = 60.0


class ContainerServer:
    """A server in a container, with a fixed port on this machine."""

    def __init__(self, container: DockerContainer, inner_port: int, probe: Callable[[], Awaitable[None]]) -> None:
        # Docker would choose another port at every start, but tests restart servers that clients are connected to.
        self._port = free_port()
        self._container = container.with_bind_ports(inner_port, self._port)
        self._probe = probe
        self._created = False
        self.running = False

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self._container.get_container_host_ip()}:{self._port}"

    async def start(self) -> None:
        """Start it and return when it answers; do nothing if it runs."""
        if self.running:
            return
        if self._created:
            await asyncio.to_thread(self._container.get_wrapped_container().start)
        else:
            await asyncio.to_thread(self._container.start)
            self._created = True
        async with asyncio.timeout(READY_WITHIN):
            while not self.running:
                try:
                    await self._probe()
                except Exception:  # every library has its own errors for "not ready yet"
                    await asyncio.sleep(0.1)
                else:
                    self.running = True

    async def stop(self) -> None:
        """Stop it in order."""
        if self.running:
            self.running = False
            await asyncio.to_thread(self._container.get_wrapped_container().stop)

    async def kill(self) -> None:
        """End it at once, like a power failure."""
        if self.running:
            self.running = False
            await asyncio.to_thread(self._container.get_wrapped_container().kill)

    async def restart(self) -> None:
        """Stop and start."""
        await self.stop()
        await self.start()

    def remove(self) -> None:
        """Delete the container and its data."""
        if self._created:
            self._container.stop()


class PostgresContainer(ContainerServer):
    """PostgreSQL whose data need not survive the machine."""

    def __init__(self) -> None:
        container = DockerContainer(POSTGRES_IMAGE).with_command("-c fsync=off -c max_connections=200")
        container.with_envs(POSTGRES_USER=USER, POSTGRES_PASSWORD=PASSWORD, POSTGRES_DB="heyday")
        super().__init__(container, 5432, lambda: create_database(self.dsn("postgres"), "heyday"))

    def dsn(self, database: str = "heyday") -> str:
        """The URL of a database."""
        return f"postgresql://{USER}:{PASSWORD}@{self.address}/{database}"


class RedisContainer(ContainerServer):
    """Redis that keeps its data when it is stopped."""

    def __init__(self) -> None:
        container = DockerContainer(REDIS_IMAGE).with_command(
            ["redis-server", "--appendonly", "yes", "--requirepass", PASSWORD]
        )
        super().__init__(container, 6379, lambda: ping(self.url))

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://:{PASSWORD}@{self.address}/0"


class RabbitMQContainer(ContainerServer):
    """RabbitMQ as the image has it."""

    def __init__(self) -> None:
        container = DockerContainer(RABBITMQ_IMAGE, hostname="rabbitmq")  # its data depends on the host name
        container.with_envs(RABBITMQ_DEFAULT_USER=USER, RABBITMQ_DEFAULT_PASS=PASSWORD)
        super().__init__(container, 5672, lambda: shake_hands(self.url))

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"amqp://{USER}:{PASSWORD}@{self.address}/"


def docker_answers() -> bool:
    """Return True if a Docker engine answers within two seconds."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=2, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def containers_of_every_server() -> tuple[PostgresContainer, RedisContainer, RabbitMQContainer] | None:
    """Return the containers, not started; None if an image is not available."""
    images = (POSTGRES_IMAGE, REDIS_IMAGE, RABBITMQ_IMAGE, testcontainers_config.ryuk_image)
    with ThreadPoolExecutor(len(images)) as pool:
        if not all(pool.map(_image_is_here, images)):
            return None
    return PostgresContainer(), RedisContainer(), RabbitMQContainer()


def _image_is_here(image: str) -> bool:
    return any(
        subprocess.run(["docker", *words, image], capture_output=True, timeout=300, check=False).returncode == 0
        for words in (["image", "inspect"], ["pull", "--quiet"])
    )
