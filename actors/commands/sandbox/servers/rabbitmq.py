"""A private RabbitMQ, from an installation: there is no wheel of it.

It runs the scripts in its own `sbin` folder, because those in /usr/sbin require the account `rabbitmq`. It has its own
port mapper (epmd) in the foreground, which ends with the broker, and no plugins: it does not even find them.
"""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import ClassVar

import aio_pika

from actors.commands.sandbox.servers import processes
from actors.commands.sandbox.servers.errors import NotInstalled, ServerFailed
from actors.commands.sandbox.servers.ports import LOOPBACK, free_port
from actors.commands.sandbox.servers.server import Server

USER = "heyday"
NODE = "heyday@localhost"

PROBE_WITHIN = 5.0
"""Seconds for one attempt to open an AMQP connection."""

CONTROL_WITHIN = 240.0
"""Seconds for `rabbitmqctl`, which starts an Erlang machine."""

INSTALLATIONS = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/usr/lib/rabbitmq/sbin",
    "/opt/rabbitmq*/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
)


LINK = """
rm -rf installation && mkdir -p installation/plugins && ln -s "$1" "$2" installation && shift 2 &&
exec ln -s "$@" installation/plugins
"""
"""The shell's words that link `sbin`, `escript` and the folders for `plugins` into `installation`."""


def installed_sbin() -> Path | None:
    """The `sbin` folder of the newest installed RabbitMQ, or None."""
    found = [path for pattern in INSTALLATIONS for path in sorted(Path("/").glob(pattern[1:]), reverse=True)]
    return next((path for path in found if (path / "rabbitmq-server").exists()), None)


def is_no_plugin(folder: str) -> bool:
    """True for a folder of the broker itself, or of a library, by its name in `plugins`."""
    return folder.startswith("rabbitmq_prelaunch") or not folder.startswith("rabbitmq_")


class RabbitMQServer(Server):
    """RabbitMQ with a user `heyday` and a random password, on loopback only."""

    name: ClassVar[str] = "RabbitMQ"
    programs: ClassVar[frozenset[str]] = frozenset({"beam.smp", "epmd", "erl_child_setup", "inet_gethost"})

    def __init__(self, directory: Path, *, port: int | None = None, sbin: Path | None = None) -> None:
        """`sbin` is the folder of the script `rabbitmq-server` (default: that of the installation)."""
        super().__init__(directory, port=port)
        self._sbin = sbin

    @property
    def url(self) -> str:
        """The URL for clients. Raises ServerFailed before the first start."""
        return self._url(self.port)

    async def control(self, *words: str) -> None:
        """Run `rabbitmqctl` with these words. Its output goes to the log. Raises ServerFailed if it fails.

        It is killed if it does not end within `CONTROL_WITHIN`.
        """
        process = self._spawn([str(self._scripts / "rabbitmqctl"), *words], **self._found_by)
        try:
            code = await asyncio.to_thread(process.wait, CONTROL_WITHIN)
        except subprocess.TimeoutExpired:
            await processes.kill(processes.family([process]))
            process.wait()
            raise ServerFailed(
                self.name, f"rabbitmqctl {words[0]} did not end within {CONTROL_WITHIN:g} s", ""
            ) from None
        if code != 0:
            raise ServerFailed(self.name, f"rabbitmqctl {words[0]} ended with {code}", "")

    async def _prepare(self) -> None:
        scripts = self._sbin or installed_sbin()
        if scripts is None:
            raise NotInstalled("RabbitMQ is not installed: apt-get install rabbitmq-server")
        self._scripts = await self._without_plugins(scripts)
        self._home.folder("data")
        self._home.folder("logs")
        self._home.keep("enabled_plugins", "[].\n")

    async def _without_plugins(self, scripts: Path) -> Path:
        """Link the installation without its plugins into the directory, and return the path to `sbin` from there.

        A start loads 900 modules, and looks for each in every folder beside its own. Half of the folders are plugins.
        Without them a start takes 2.6 s of processor time instead of 4.0 (RabbitMQ 3.10).
        """
        found = [path for path in (scripts.parent / "plugins").glob("*") if is_no_plugin(path.name)]
        if not found:
            return scripts  # another layout, which the scripts of that installation know
        # The account does it, because the directory is its own and root must not follow a link in it.
        command = ["/bin/sh", "-c", LINK, "sh", *map(str, [scripts, scripts.parent / "escript", *found])]
        done = await processes.run(command, directory=self._home.path, account=self._home.account)
        if done.returncode != 0:
            raise ServerFailed(self.name, "its installation cannot be linked", done.stderr)
        return Path("installation", scripts.name)

    def _launch(self, port: int) -> list[subprocess.Popen[bytes]]:
        settings = {
            "listeners.tcp.local": f"{LOOPBACK}:{port}",
            "default_user": USER,
            "default_pass": self._password,
            "log.console": "true",
            "log.console.level": "info",
            "log.file": "false",
        }
        self._home.keep("rabbitmq.conf", "".join(f"{name} = {value}\n" for name, value in settings.items()))
        self._inner_ports = mapper, distribution = free_port(), free_port()
        epmd = self._spawn(["epmd", "-address", LOOPBACK, "-port", str(mapper)])
        self._found_by = {
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(mapper),
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_CONF_ENV_FILE": str(self._home.path / "none"),
        }
        broker = self._spawn(
            [str(self._scripts / "rabbitmq-server")],
            # With this the script replaces itself by the Erlang machine, so its process is the broker.
            RUNNING_UNDER_SYSTEMD="true",
            RABBITMQ_DIST_PORT=str(distribution),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
            RABBITMQ_CONFIG_FILE=str(self._home.path / "rabbitmq.conf"),
            RABBITMQ_ADVANCED_CONFIG_FILE=str(self._home.path / "none"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self._home.path / "enabled_plugins"),
            RABBITMQ_MNESIA_BASE=str(self._home.path / "data"),
            RABBITMQ_LOG_BASE=str(self._home.path / "logs"),
            **self._found_by,
        )
        return [epmd, broker]

    async def _probe(self, port: int) -> None:
        await shake_hands(self._url(port))

    def _url(self, port: int) -> str:
        return f"amqp://{USER}:{self._password}@{LOOPBACK}:{port}/"


async def shake_hands(url: str) -> None:
    """Open and close a connection, which works once the broker is ready. Raises the exceptions of aio-pika."""
    connection = await aio_pika.connect(url, timeout=PROBE_WITHIN)
    await connection.close()
