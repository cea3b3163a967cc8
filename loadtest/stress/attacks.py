"""Attacks a node of this machine, with bounds on connections and time.

    python -m loadtest.stress.attacks http://127.0.0.1:8080 silent --seconds 60
    python -m loadtest.stress.attacks http://127.0.0.1:8080 blank-lines --key KEY --seconds 60

It prints its connections, and the answers by status code, as one line of JSON. It refuses a URL beyond loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import random
import resource
import socket
import sys
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import uvloop

MAX_SECONDS = 600.0

PAUSE = 0.1
"""Seconds between two connections of one attacker."""

DRIP = 1.0
"""Seconds between two bytes of a slow attacker."""

ANSWER_WITHIN = 30.0
"""Seconds for an answer; later, the attacker connects again."""

PIECE = 64 * 1024
INFLATED = 1_900 * 1024 * 1024
"""Bytes that the compressed body, of 1.9 MB, would become."""
BLANK_BYTES = 100 * 1024 * 1024

PREVIEWS = 0.5
"""Share of previews among the costly reads; the others are searches."""


@dataclass(slots=True)
class Target:
    """The node under attack, the attacker's key, and the counts of this attack."""

    host: str
    port: int
    key: str
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def authorization(self) -> str:
        """Return the header with the key."""
        return f"Authorization: Bearer {self.key}\r\n"

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connect, with a small buffer for what the node sends. A connection that the node ends is counted."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(client, (self.host, self.port))
            reader, writer = await asyncio.open_connection(sock=client, limit=4096)
        except BaseException as error:  # also when the attack ends meanwhile
            client.close()
            if isinstance(error, OSError):
                self.counts["not connected"] += 1
                await asyncio.sleep(PAUSE)
            raise
        self.counts["connections"] += 1
        try:
            yield reader, writer
        except OSError:
            self.counts["cut off"] += 1
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def answered(self, reader: asyncio.StreamReader) -> None:
        """Count the status code of the answer, or its absence."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                line = (await reader.readline()).split()
        except TimeoutError:
            line = [b"", b"no answer"]
        except OSError:
            line = []
        self.counts[line[1].decode() if len(line) > 1 else "cut off"] += 1


Attack = Callable[[Target], Awaitable[None]]
"""One connection of an attacker, which opens the next one afterwards."""


def bomb() -> Iterator[bytes]:
    """Yield a gzip body of zeros in pieces. A flush makes each mebibyte independent, so one is repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    yield packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(INFLATED // len(zeros) - 1):
        yield again


BOMB = b"".join(bomb())


async def compressed(target: Target) -> None:
    """Send a compressed body without a key."""
    async with target.connected() as (reader, writer):
        head = "POST /api/v1/users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        writer.write(f"{head}Content-Length: {len(BOMB)}\r\n\r\n".encode() + BOMB)
        await target.answered(reader)


def import_head(target: Target, length: str) -> bytes:
    """Return the head of an import; `length` is a header line about its body."""
    head = f"POST /api/v1/users:import HTTP/1.1\r\nHost: a\r\n{target.authorization}{length}\r\n"
    return f"{head}Content-Type: application/x-ndjson\r\n\r\n".encode()


async def blank_lines(target: Target) -> None:
    """Import 100 MB of blank lines."""
    async with target.connected() as (reader, writer):
        writer.write(import_head(target, f"Content-Length: {BLANK_BYTES}"))
        for _ in range(BLANK_BYTES // PIECE):
            writer.write(b"\n" * PIECE)
            await writer.drain()
        await target.answered(reader)


async def unread(target: Target) -> None:
    """Import short rows with long refusals, and read nothing."""
    async with target.connected() as (_, writer):
        writer.write(import_head(target, "Transfer-Encoding: chunked"))
        rows = b"{}\n" * (PIECE // 3)
        while not writer.is_closing():
            writer.write(b"%x\r\n%b\r\n" % (len(rows), rows))
            await writer.drain()


async def slow_imports(target: Target) -> None:
    """Take a slot for imports, and send a byte a second."""
    async with target.connected() as (reader, writer):
        writer.write(import_head(target, "Transfer-Encoding: chunked"))
        while not reader.at_eof() and not writer.is_closing():
            writer.write(b"1\r\n \r\n")
            await writer.drain()
            await asyncio.sleep(DRIP)


async def silent(target: Target) -> None:
    """Connect, and send nothing."""
    async with target.connected() as (reader, _):
        await reader.read()
        target.counts["cut off"] += 1


async def dripping_heads(target: Target) -> None:
    """Send a byte of the head a second."""
    async with target.connected() as (reader, writer):
        writer.write(b"GET /health/live HTTP/1.1\r\nX-Slow: ")
        while not reader.at_eof() and not writer.is_closing():
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(DRIP)


async def costly_reads(target: Target) -> None:
    """Ask for a preview of two years, or search for a name that no user has."""
    now = datetime.now(UTC)
    days = f"from={now:%Y-%m-%d}&to={now + timedelta(days=700):%Y-%m-%d}"
    path = f"/api/v1/preview?{days}" if random.random() < PREVIEWS else "/api/v1/users?q=nobody-has-this-name"
    async with target.connected() as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n{target.authorization}\r\n".encode())
        await target.answered(reader)


ATTACKS: dict[str, tuple[int, Attack]] = {
    "compressed": (5, compressed),
    "blank-lines": (2, blank_lines),
    "unread": (2, unread),
    "slow-imports": (8, slow_imports),
    "silent": (1_000, silent),
    "dripping-heads": (200, dripping_heads),
    "costly-reads": (40, costly_reads),
}
"""Every attack, and its number of concurrent connections."""


async def run(name: str, target: Target, seconds: float) -> None:
    """Attack for `seconds`: each attacker opens a new connection as soon as its last one has ended."""
    count, attack = ATTACKS[name]

    async def attacker(number: int) -> None:
        await asyncio.sleep(number % 100 * PAUSE / 10)
        while True:
            try:
                await attack(target)
            except OSError:
                continue
            await asyncio.sleep(PAUSE)

    attackers = [asyncio.ensure_future(attacker(number)) for number in range(count)]
    await asyncio.sleep(seconds)
    for one in attackers:
        one.cancel()
    failed = [one for one in await asyncio.gather(*attackers, return_exceptions=True) if isinstance(one, Exception)]
    if failed:
        raise failed[0]


def target_of(url: str, key: str) -> Target:
    """Return the target. Raises ValueError for an address that is not a loopback one."""
    parts = urlsplit(url)
    if not ipaddress.ip_address(parts.hostname or "").is_loopback:
        raise ValueError(f"{parts.hostname} is not an address of this machine alone")
    return Target(parts.hostname or "", parts.port or 80, key)


def main() -> None:
    """Attack, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="http:// with a loopback address")
    parser.add_argument("attack", choices=tuple(ATTACKS))
    parser.add_argument("--key", default="", help="the attacker's API key")
    parser.add_argument("--seconds", type=float, default=60.0, help=f"at most {MAX_SECONDS:g} (%(default)s)")
    args = parser.parse_args()
    try:
        target = target_of(args.url, args.key)
    except ValueError as mistake:
        parser.error(str(mistake))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(run(args.attack, target, min(args.seconds, MAX_SECONDS)))
    sys.stdout.write(json.dumps(target.counts) + "\n")


if __name__ == "__main__":
    main()
