"""One attempt to hand a greeting to a mail server, over a pooled connection.

Before the final dot of the message was written, the server has accepted nothing (RFC 5321, 4.1.1.4). After it, only
its reply tells: without one, the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import perf_counter
from typing import cast

import aiosmtplib

from service.adapters.email.access import OPEN, Access
from service.adapters.email.formats.format import parse_sender
from service.adapters.email.reset import reset
from service.adapters.email.smtp.message import Envelope, compose
from service.adapters.email.smtp.replies import Reply, Stage, answer_to
from service.call_slots import CallSlots
from service.domain.messages import Answer, Outcome
from service.email_access import SmtpServer, smtp_server, tls_context
from service.environment import Secret
from service.ports import CircuitOpen, Greeting

IDLE = 30.0
"""Seconds that an idle connection is kept. Servers wait for five minutes (RFC 5321, 4.5.3.2.7)."""

MESSAGES_PER_CONNECTION = 100
"""Messages after which a connection is closed: some servers take no more."""

QUIT_TIMEOUT = 1.0
"""Seconds for a farewell to the server."""

_FAILURES = (aiosmtplib.SMTPException, OSError, EOFError)  # TimeoutError is an OSError


@dataclass(eq=False)
class _Connection:
    """A connection that is ready for a message.

    `dot` is true once the end of a message was written to it, `begun` while the server has a sender of a message that
    did not follow.
    """

    client: aiosmtplib.SMTP
    server: SmtpServer
    messages: int = 0
    dot: bool = False
    begun: bool = False
    expiry: asyncio.TimerHandle | None = field(default=None, repr=False)

    def cut(self) -> None:
        """Reset the connection, so that nothing that was written is read later."""
        if self.client.transport is not None:
            reset(cast("asyncio.WriteTransport", self.client.transport))
        self.client.close()

    async def command(self, stage: Stage, *words: bytes) -> Reply:
        response = await self.client.execute_command(*words, timeout=None)
        return Reply(stage, response.code, response.message)


class SmtpEmailService:
    """The mail server at `url`, with at most `concurrency` connections.

    `timeout` covers the whole attempt: waiting for a connection, name, TCP, TLS, login and every reply.
    Raises ValueError for a URL that is none of a mail server.
    """

    def __init__(
        self,
        url: str,
        *,
        sender: str,
        timeout: timedelta,
        concurrency: int,
        access: Access = OPEN,
        unsubscribe: str | None = None,
        html: str | None = None,
    ) -> None:
        self.timeout = timeout
        self._sender = parse_sender(sender)
        self._unsubscribe = unsubscribe
        self._html = html
        self._slots = CallSlots(concurrency)
        self._idle: list[_Connection] = []
        self._hostname: str | None = None
        self._closed = False
        self._apply(url, access)

    async def open(self) -> None:
        """Find the name of this machine. Nothing is connected before the first attempt."""
        self._closed = False
        name = await asyncio.to_thread(socket.getfqdn)
        self._hostname = name if re.fullmatch(r"[A-Za-z0-9.-]+", name) else "localhost"

    async def close(self) -> None:
        """Close every connection, one in use after its message. Safe to call twice, and before `open`."""
        self._closed = True
        await self._close_idle()

    async def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_farewell(one) for one in idle))

    def resize(self, concurrency: int) -> None:
        """Use at most this many connections from now on."""
        self._slots.resize(concurrency)

    async def use(self, url: str) -> None:
        """Use another server or other credentials from now on. Raises ValueError, and changes nothing then."""
        self._apply(url, self._access)
        await self._close_idle()

    async def use_access(self, **changes: Secret) -> None:
        """Use other certificates from now on."""
        self._apply(self._url, replace(self._access, **changes))
        await self._close_idle()

    def use_html(self, html: str) -> None:
        """Send this document from now on."""
        self._html = html

    def _apply(self, url: str, access: Access) -> None:
        server = smtp_server(url)
        context = tls_context(access.ca, access.client_certificate)
        self._url, self._access, self._server, self._context = url, access, server, context

    async def attempt(self, greeting: Greeting) -> Answer:
        """Make one attempt. Never raises for what the server does: that is the Answer."""
        started = perf_counter()
        try:
            envelope = compose(greeting, self._sender, unsubscribe=self._unsubscribe, html=self._html)
        except ValueError as error:
            return Answer(Outcome.PERMANENT_FAILURE, 0.0, error=str(error), called=False)
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self.timeout.total_seconds()), self._connection() as connection:
                reply = await self._hand_over(connection, envelope, greeting.allowed)
        except _FAILURES as failure:
            dot = connection is not None and connection.dot
            if isinstance(failure, aiosmtplib.SMTPResponseException) and failure.code in range(200, 600) and not dot:
                return answer_to(_reply_of(failure), duration=perf_counter() - started, private=greeting.private)
            return Answer(
                Outcome.UNKNOWN if dot else Outcome.TRANSIENT_FAILURE,
                perf_counter() - started,
                error=_describe(failure, dot=dot),
                timed_out=isinstance(failure, TimeoutError),
            )
        return answer_to(reply, duration=perf_counter() - started, private=greeting.private)

    async def probe(self) -> None:
        """Connect, encrypt and log in as an attempt does, and send nothing. Raises SMTPException and OSError."""
        async with asyncio.timeout(self.timeout.total_seconds()):
            await _farewell(await self._connect())

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        """Lend a connection, and keep it for the next message if it can take one."""
        async with self._slots:
            connection = self._take_idle() or await self._connect()
            try:
                yield connection
            except BaseException:
                connection.cut()
                raise
            self._keep(connection)

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.expiry is not None:
                connection.expiry.cancel()
            if connection.client.is_connected:
                connection.dot = False
                return connection
            connection.client.close()
        return None

    def _keep(self, connection: _Connection) -> None:
        connection.messages += 1
        is_old = connection.server is not self._server or self._closed
        if is_old or not connection.client.is_connected or connection.messages >= MESSAGES_PER_CONNECTION:
            connection.client.close()
            return
        connection.expiry = asyncio.get_running_loop().call_later(IDLE, self._expire, connection)
        self._idle.append(connection)

    def _expire(self, connection: _Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
            connection.client.close()

    async def _connect(self) -> _Connection:
        server: SmtpServer = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls,
            start_tls=False,  # below, where the lack of it is told from a lost connection
            tls_context=self._context,
            local_hostname=self._hostname,
            timeout=None,
        )
        connection = _Connection(client, server)
        try:
            await client.connect()
            await client.ehlo()
            if server.starttls:
                _require(client, "starttls")
                await client.starttls()
                await client.ehlo()
            if server.user is not None:
                _require(client, "auth")
                await _log_in(client, server.user, server.password or "")
        except BaseException:
            connection.cut()
            raise
        return connection

    async def _hand_over(self, connection: _Connection, envelope: Envelope, allowed: Callable[[], bool]) -> Reply:
        """Send the message. A kept connection that the server has closed is replaced once: it has read nothing."""
        reused = connection.messages > 0
        try:
            reply = await _transact(connection, envelope, allowed)
        except (aiosmtplib.SMTPServerDisconnected, ConnectionError):
            if not reused or connection.dot:
                raise
        else:
            if not (reused and reply.code == 421 and not connection.dot):
                return reply
        connection.cut()
        fresh = await self._connect()
        connection.client, connection.server, connection.messages = fresh.client, fresh.server, 0
        connection.dot = connection.begun = False
        return await _transact(connection, envelope, allowed)


async def _transact(connection: _Connection, envelope: Envelope, allowed: Callable[[], bool]) -> Reply:
    """Send one message, and return the reply that ended it. Raises CircuitOpen when it is not `allowed` any more.

    No command follows a refusal: a server may hang up after it, and the refusal counts all the same. RSET, which ends
    what was refused (RFC 5321, 4.1.1.5), precedes the next message instead.
    """
    _ask(allowed)
    options = []
    if envelope.utf8:
        if not connection.client.supports_extension("smtputf8"):
            return Reply(Stage.RECIPIENT, 553, "5.6.7 the mail server does not take addresses beyond ASCII")
        options = [b"SMTPUTF8", b"BODY=8BITMIME"]
    if connection.begun:
        if (await connection.command(Stage.SENDER, b"RSET")).code != 250:
            raise aiosmtplib.SMTPServerDisconnected("a connection that cannot be reset is of no use")
        connection.begun = False
    sender, recipient = envelope.sender.encode(), envelope.recipient.encode()
    reply = await connection.command(Stage.SENDER, b"MAIL", b"FROM:<" + sender + b">", *options)
    if reply.code == 250:
        connection.begun = True
        reply = await connection.command(Stage.RECIPIENT, b"RCPT", b"TO:<" + recipient + b">")
        if reply.code in {250, 251}:
            _ask(allowed)  # the replies may have taken seconds
            reply = await connection.command(Stage.DATA, b"DATA")
            if reply.code == 354:
                reply = await _content(connection, envelope.content)
                connection.begun = False
    return reply


def _ask(allowed: Callable[[], bool]) -> None:
    if not allowed():
        raise CircuitOpen("what was allowed before the connection is so no longer")


async def _content(connection: _Connection, content: bytes) -> Reply:
    protocol = connection.client.protocol
    if protocol is None:
        raise aiosmtplib.SMTPServerDisconnected("connection lost")
    protocol.write(content)  # raises if the connection is closed: then nothing was written
    connection.dot = True
    response = await protocol.read_response()
    if response.code == 421:
        connection.client.close()
    return Reply(Stage.CONTENT, response.code, response.message)


async def _log_in(client: aiosmtplib.SMTP, user: str, password: str) -> None:
    """Log in by the first method of the server that takes the password. Raises SMTPAuthenticationError if none does.

    The library's own function forgets that a method was refused when the server hangs up at the next one.
    """
    methods = {"cram-md5": client.auth_crammd5, "plain": client.auth_plain, "login": client.auth_login}
    refusal: aiosmtplib.SMTPAuthenticationError | None = None
    for method in (one for name, one in methods.items() if name in client.supported_auth_methods):
        try:
            await method(user, password, timeout=None)
        except aiosmtplib.SMTPAuthenticationError as error:
            refusal = error
        except (aiosmtplib.SMTPServerDisconnected, ConnectionError):
            raise refusal or aiosmtplib.SMTPServerDisconnected("connection lost") from None
        else:
            return
    raise refusal or aiosmtplib.SMTPNotSupported("auth")


def _require(client: aiosmtplib.SMTP, extension: str) -> None:
    if not client.supports_extension(extension):
        raise aiosmtplib.SMTPNotSupported(extension)


async def _farewell(connection: _Connection) -> None:
    if connection.expiry is not None:
        connection.expiry.cancel()
    with suppress(*_FAILURES):
        async with asyncio.timeout(QUIT_TIMEOUT):
            await connection.client.quit()
    connection.client.close()


def _reply_of(failure: aiosmtplib.SMTPResponseException) -> Reply:
    """The reply that ended a connection before a message was begun."""
    is_login = isinstance(failure, aiosmtplib.SMTPAuthenticationError)
    return Reply(Stage.LOGIN if is_login else Stage.CONNECT, failure.code, failure.message)


def _describe(failure: Exception, *, dot: bool) -> str:
    """A few words on why there is no reply. The exception's own text names hosts, so it is not used."""
    causes = (failure, failure.__cause__)
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in causes):
        return "certificate not valid"
    if any(isinstance(one, ssl.SSLError) for one in causes):
        return "TLS failed"
    if any(isinstance(one, socket.gaierror) for one in causes):
        return "name not resolved"
    match failure:
        case TimeoutError():
            return "no reply in time after the message" if dot else "no reply in time"
        case aiosmtplib.SMTPResponseException():
            return "malformed reply"
        case aiosmtplib.SMTPNotSupported():
            return "the mail server does not offer what the URL asks for, such as STARTTLS or a login"
    return "connection lost before the reply to the message" if dot else "no connection"
