"""A private Postfix for measurements: on a free loopback port, with one maildir for all recipients.

It defers the first try of some recipients (greylisting) and refuses others. It needs root, as Postfix does.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from hashlib import sha256
from pathlib import Path

from actors.commands.sandbox.servers.ports import free_port

CLIENTS = 50
"""Connections that it takes at once, as by default of one client."""

_MAIN = """\
compatibility_level = 3.6
queue_directory = {place}/queue
data_directory = {place}/data
maillog_file_prefixes = {place}
maillog_file = {place}/log
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
smtpd_client_connection_count_limit = {clients}
smtpd_recipient_restrictions =
    check_recipient_access regexp:{place}/config/refused, check_policy_service inet:127.0.0.1:{policy},
    permit_mynetworks, reject
smtputf8_enable = yes
virtual_mailbox_domains = static:all
virtual_mailbox_base = {place}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - {clients} smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
"""

_REFUSED = "/^refused/ 550 5.1.1 no such mailbox\n"


class Postfix:
    """The running server. `greylisted` has the recipients that were deferred once."""

    def __init__(self, place: Path, port: int) -> None:
        self.place = place
        self.port = port
        self.greylisted: set[str] = set()

    async def start(self) -> None:
        """Start it, or go on after a stop."""
        await self._postfix("start")

    async def stop(self) -> None:
        """Stop it: connections are cut, and what is in its queue waits."""
        await self._postfix("stop")

    async def _postfix(self, word: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *("postfix", "-c", str(self.place / "config"), word),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"postfix {word}: {said.decode()}")

    async def delivered(self) -> list[EmailMessage]:
        """Wait until its queue is empty, and return every message of the maildir."""
        while any(
            any((self.place / "queue" / name).rglob("?*[0-9A-F]")) for name in ("incoming", "active", "deferred")
        ):
            await asyncio.sleep(0.1)
        box = self.place / "mail" / "box" / "new"
        return [message_from_bytes(one.read_bytes(), policy=default) for one in sorted(box.iterdir())]

    async def policy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer as a policy service: every tenth recipient is deferred at its first try."""
        while request := (await _request(reader)):
            recipient = request.get("recipient", "")
            is_new = recipient not in self.greylisted and sha256(recipient.encode()).digest()[0] % 10 == 0
            self.greylisted |= {recipient} if is_new else set()
            action = "defer_if_permit 4.7.1 greylisted, try again" if is_new else "dunno"
            writer.write(f"action={action}\n\n".encode())
        writer.close()


async def _request(reader: asyncio.StreamReader) -> dict[str, str]:
    found: dict[str, str] = {}
    while line := (await reader.readline()).decode("utf-8", "replace").strip():
        name, _, value = line.partition("=")
        found[name] = value
    return found


@asynccontextmanager
async def postfix(place: Path) -> AsyncIterator[Postfix]:
    """Run a Postfix below `place`, which every account can enter."""
    owner = pwd.getpwnam("nobody")
    for name in ("config", "queue", "data", "mail"):
        (place / name).mkdir()
    shutil.chown(place / "data", "postfix")
    os.chown(place / "mail", owner.pw_uid, owner.pw_gid)
    server = Postfix(place, free_port())
    policy = await asyncio.start_server(server.policy, "127.0.0.1", 0)
    main = _MAIN.format(
        place=place,
        clients=CLIENTS,
        policy=policy.sockets[0].getsockname()[1],
        uid=owner.pw_uid,
        gid=owner.pw_gid,
    )
    (place / "config" / "main.cf").write_text(main, encoding="ascii")
    (place / "config" / "master.cf").write_text(_MASTER.format(port=server.port, clients=CLIENTS), encoding="ascii")
    (place / "config" / "refused").write_text(_REFUSED, encoding="ascii")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        policy.close()
