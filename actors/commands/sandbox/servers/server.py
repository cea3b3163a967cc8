"""The life of a private server: started, probed, stopped, killed, and started again with what it had.

A subclass says which programs to run and how to ask the server whether it is ready. The rest is here: orphans of an
earlier run are ended before the next, and a port is kept from start to start as long as it is free.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from service.embedded import processes
from service.embedded.errors import PortTaken, ServerFailed
from service.embedded.home import Home
from service.embedded.ports import LOOPBACK, free_port, is_free

START_WITHIN = 60.0
"""Seconds that a start may take; RabbitMQ on a busy machine needs 20."""

STOP_WITHIN = 30.0
"""Seconds that a server has to end in order before it is killed."""

ORPHANS_WITHIN = 5.0
"""Seconds that processes of an earlier run have to end in order before they are killed."""

PORTS_TRIED = 5
"""How often a start is tried anew when somebody takes the port between our look and the server's."""


class Server(ABC):
    """A server of our own on loopback, with everything it has in one directory.

    Call its methods from the main thread: Linux ends a server when the thread that started it ends.
    """

    name: ClassVar[str]
    programs: ClassVar[frozenset[str]]
    """Names of its processes, as the system lists them."""
    farewell: ClassVar[signal.Signals] = signal.SIGTERM
    """The signal that makes it end in order and soon."""

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self.directory = directory
        """What it was given; its files may physically be elsewhere, behind a link."""
        self._port = port
        self._password = ""
        self._claimed: Home | None = None
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def port(self) -> int:
        """The port it listens on, the same from its first start on. Raises ServerFailed before that."""
        if self._port is None:
            raise ServerFailed(self.name, "was never started")
        return self._port

    @property
    def running(self) -> bool:
        """Whether its main process lives."""
        return bool(self._processes) and self._processes[-1].poll() is None

    @property
    def pid(self) -> int:
        """The number of its main process. Raises ServerFailed when it is not running."""
        if not self.running:
            raise ServerFailed(self.name, "is not running")
        return self._processes[-1].pid

    async def start(self, *, within: float = START_WITHIN) -> None:
        """Start it and return when it answers; nothing happens when it runs already.

        Raises DirectoryInUse while another process runs a server in the directory, EmbeddedError when it does not
        start or does not answer within that many seconds. Nothing is left running then.
        """
        if self.running:
            return
        self._claimed = self._claimed or Home(self.directory)
        try:
            async with asyncio.timeout(within):
                await self._end_orphans()
                self._password = self._home.kept("password") or secrets.token_urlsafe(18)
                self._home.keep("password", self._password)
                await self._prepare()
                await self._launch_on_some_port()
        except TimeoutError as error:
            failure = ServerFailed(self.name, f"did not answer within {within:g} s", self._home.log_tail())
            await self._give_up()
            raise failure from error
        except BaseException:
            await self._give_up()
            raise

    async def stop(self, *, within: float = STOP_WITHIN) -> None:
        """Let it end in order, kill it after `within` seconds, and let go of the directory."""
        family = processes.family(self._processes)
        if self.running:
            # The main process alone: it sees to its own children, and the port mapper has to outlive it.
            await processes.end(processes.family(self._processes[-1:])[:1], farewell=self.farewell, within=within)
        await processes.end(family, farewell=self.farewell, within=ORPHANS_WITHIN)
        self._forget_processes()
        self._release()

    async def kill(self) -> None:
        """End every process of it at once, as a power cut would; the directory stays ours."""
        await processes.kill(processes.family(self._processes))
        if self._claimed is not None:
            # Those that had lost their parent, such as a session of PostgreSQL that was just being started.
            await processes.kill(processes.strays(self._home.path, self.programs))
        self._forget_processes()

    async def restart(self) -> None:
        """Stop it in order and start it again on the same port."""
        await self.stop()
        await self.start()

    @abstractmethod
    async def _prepare(self) -> None:
        """Make whatever must be in the home before the first start."""

    @abstractmethod
    def _launch(self, port: int) -> list[subprocess.Popen[bytes]]:
        """Start the processes, the main one last."""

    @abstractmethod
    async def _probe(self, port: int) -> None:
        """Return when the server answers; raise any exception while it does not."""

    @property
    def _home(self) -> Home:
        if self._claimed is None:
            raise ServerFailed(self.name, "has no directory while it is stopped")
        return self._claimed

    async def _end_orphans(self) -> None:
        orphans = processes.strays(self._home.path, self.programs)
        await processes.end(orphans, farewell=self.farewell, within=ORPHANS_WITHIN)

    async def _launch_on_some_port(self) -> None:
        if self._port is not None:
            # Clients know it already: another one would be no use to them.
            await self._try(self._port)
            return
        kept = int(self._home.kept("port") or 0)
        for attempt in range(PORTS_TRIED):
            port = kept if kept and attempt == 0 and is_free(kept) else free_port()
            try:
                await self._try(port)
            except PortTaken:
                continue
            self._port = port
            self._home.keep("port", str(port))
            return
        raise ServerFailed(self.name, f"lost {PORTS_TRIED} ports to others", self._home.log_tail())

    async def _try(self, port: int) -> None:
        if not is_free(port):
            raise PortTaken(f"{self.name}: port {port} is taken")
        self._processes = self._launch(port)
        while True:
            try:
                await _listens(port)  # AMQP libraries log every connection that is refused
                await self._probe(port)
            except Exception:  # noqa: S110 - every library has its own ways to say "not yet"
                pass
            else:
                if self.running:
                    return
            if not self.running:
                code = self._processes[-1].returncode
                await self.kill()
                if not is_free(port):
                    raise PortTaken(f"{self.name}: port {port} was taken meanwhile")
                raise ServerFailed(self.name, f"ended with code {code} instead of starting", self._home.log_tail())
            await asyncio.sleep(0.05)

    def _spawn(
        self, command: list[str], *, stdin: str | None = None, directory: str = ".", **environment: str
    ) -> subprocess.Popen[bytes]:
        return processes.spawn(
            command,
            directory=self._home.path / directory,
            log=self._home.log,
            account=self._home.account,
            environment=environment,
            farewell=self.farewell,
            stdin=stdin,
        )

    async def _give_up(self) -> None:
        await self.kill()
        self._release()

    def _release(self) -> None:
        if self._claimed is not None:
            self._claimed.release()
            self._claimed = None

    def _forget_processes(self) -> None:
        for process in self._processes:
            process.wait()
        self._processes = []


async def _listens(port: int) -> None:
    """Raises OSError while nobody listens on the port."""
    _, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.close()
    await writer.wait_closed()
