"""The base class of private servers: start, probe, stop, kill, and start again with the same data.

A subclass names the programs and the probe for readiness. A start first ends processes that an earlier run left. The
port stays the same while it is free.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from actors.commands.sandbox.servers import processes
from actors.commands.sandbox.servers.errors import PortTaken, ServerFailed
from actors.commands.sandbox.servers.home import Home
from actors.commands.sandbox.servers.ports import LOOPBACK, free_port, is_free

START_WITHIN = 180.0
"""Seconds for a start. RabbitMQ needs some of a processor alone, and more than a minute where ten others want it."""

STOP_WITHIN = 30.0
"""Seconds for an orderly end. Then the server is killed."""

ORPHANS_WITHIN = 5.0
"""Seconds for processes of an earlier run to end. Then they are killed."""

PORTS_TRIED = 5
"""Attempts of a start, in case another process takes the port in between."""


class Server(ABC):
    """A private server on loopback, with all its files in one directory.

    Call its methods from the main thread: Linux ends a server when the thread that started it ends.
    """

    name: ClassVar[str]
    programs: ClassVar[frozenset[str]]
    """Names of its processes in the list of the system."""
    farewell: ClassVar[signal.Signals] = signal.SIGTERM
    """The signal for an orderly and quick end."""

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self.directory = directory
        """The requested directory. It may be a link to the physical location."""
        self._port = port
        self._password = ""
        self._claimed: Home | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._inner_ports: tuple[int, ...] = ()
        """Ports of the present launch beside the one for clients."""

    @property
    def port(self) -> int:
        """Its port, which stays the same from the first start. Raises ServerFailed before that."""
        if self._port is None:
            raise ServerFailed(self.name, "was never started")
        return self._port

    @property
    def running(self) -> bool:
        """True while its main process runs."""
        return bool(self._processes) and self._processes[-1].poll() is None

    @property
    def pid(self) -> int:
        """The id of its main process. Raises ServerFailed if it does not run."""
        if not self.running:
            raise ServerFailed(self.name, "is not running")
        return self._processes[-1].pid

    async def start(self, *, within: float = START_WITHIN) -> None:
        """Start it and return when it answers. Do nothing if it runs.

        Raises DirectoryInUse while another process uses the directory. Raises EmbeddedError if it does not start or
        does not answer within that many seconds; then no process is left running.
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
        """End it in order, kill it after `within` seconds, and release the directory."""
        family = processes.family(self._processes)
        if self.running:
            # Only the main process: it ends its own children, and the port mapper must outlive it.
            await processes.end(processes.family(self._processes[-1:])[:1], farewell=self.farewell, within=within)
        await processes.end(family, farewell=self.farewell, within=ORPHANS_WITHIN)
        self._forget_processes()
        self._release()

    def freeze(self) -> None:
        """Stop all its processes where they are. Only `kill` is possible afterwards."""
        processes.stop(processes.family(self._processes))

    async def kill(self) -> None:
        """Kill all its processes. What they wrote stays in the memory of the kernel. The directory stays claimed."""
        await processes.kill(processes.family(self._processes))
        if self._claimed is not None:
            # Processes without a parent, such as a session of PostgreSQL that was being started.
            await processes.kill(processes.strays(self._home.path, self.programs))
        self._forget_processes()

    async def restart(self) -> None:
        """Stop it in order and start it again on the same port."""
        await self.stop()
        await self.start()

    @abstractmethod
    async def _prepare(self) -> None:
        """Prepare the directory before a start."""

    @abstractmethod
    def _launch(self, port: int) -> list[subprocess.Popen[bytes]]:
        """Start the processes, the main one last."""

    @abstractmethod
    async def _probe(self, port: int) -> None:
        """Return if the server answers. Raise any exception if it does not."""

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
            # Clients know this port already.
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
        for _ in range(PORTS_TRIED):
            if await self._answers(port):
                return
        raise ServerFailed(self.name, f"lost {PORTS_TRIED} ports to others", self._home.log_tail())

    async def _answers(self, port: int) -> bool:
        """Launch it, and return when it answers. False if another process has taken one of its inner ports."""
        self._processes = self._launch(port)
        while True:
            try:
                await _listens(port)  # AMQP libraries log every refused connection
                await self._probe(port)
            except Exception:  # noqa: S110 - each library has its own exceptions for "not yet"
                pass
            else:
                if self.running:
                    return True
            if not self.running:
                code = self._processes[-1].returncode
                await self.kill()
                if not all(map(is_free, self._inner_ports)):
                    return False
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
    """Connect to the port. Raises OSError while no process listens there."""
    _, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.close()
    await writer.wait_closed()
