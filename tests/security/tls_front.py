"""A TLS front before a server without TLS; it counts clients that use TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import trustme

WRONG_HOST = "127.0.0.2"
"""Another name of this machine, which is not in the certificate."""

_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
"""The first message of a PostgreSQL client that asks for TLS."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


class Front:
    """The address of the front, and counts of clients with and without TLS."""

    def __init__(self) -> None:
        self.port = 0
        self.encrypted = 0
        self.clear = 0

    def url(self, url: str, *, scheme: str, options: str, host: str = "127.0.0.1") -> str:
        """Return the server's URL with the front's address."""
        parts = urlsplit(url)
        credentials = parts.netloc.rpartition("@")[0]
        return f"{scheme}://{credentials}@{host}:{self.port}{parts.path}?{options}"


@asynccontextmanager
async def tls_front(url: str, certificate: trustme.LeafCert) -> AsyncIterator[Front]:
    """Listen in front of the server of a URL, with a certificate."""
    front, parts = Front(), urlsplit(url)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]  # a coroutine of a server is one
        upstream: asyncio.StreamWriter | None = None
        try:
            if parts.scheme.startswith("postgres"):
                if await reader.readexactly(len(_SSL_REQUEST)) != _SSL_REQUEST:
                    front.clear += 1
                    return
                writer.write(b"S")
            await writer.start_tls(context)
            front.encrypted += 1
            behind, upstream = await asyncio.open_connection(parts.hostname, parts.port)
            await asyncio.wait(
                [asyncio.ensure_future(_pass(reader, upstream)), asyncio.ensure_future(_pass(behind, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except ssl.SSLError as error:
            # Data without TLS; a client that refuses the certificate says so within TLS.
            front.clear += error.reason in {"HTTP_REQUEST", "WRONG_VERSION_NUMBER"}
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            for one in (writer, upstream):
                if one is not None:
                    one.transport.abort()

    server = await asyncio.start_server(serve, "0.0.0.0", 0)  # noqa: S104 - for the other name of this machine
    front.port = server.sockets[0].getsockname()[1]
    try:
        yield front
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
