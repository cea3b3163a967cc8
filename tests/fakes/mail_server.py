"""A mail server (aiosmtpd) with programmed replies, which keeps the accepted messages."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast
from warnings import catch_warnings, simplefilter

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "heyday", "s3cret: p@ss"


class MailServer:
    """Replies to the next messages by `faults`: a stage (`MAIL`, `RCPT`, `DATA`) with a reply, or `cut`, or None."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, starttls: bool = False, login: bool = False) -> None:
        self.faults: list[tuple[str, str] | None] = []
        self.accepted: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.connections = 0
        self._now: dict[SMTP, tuple[str, str] | None] = {}
        self._tls, self._starttls, self._login = tls, starttls, login
        self._sessions: list[SMTP] = []

    async def listen(self) -> None:
        """Listen on a free loopback port."""
        loop = asyncio.get_running_loop()
        implicit = None if self._starttls else self._tls
        self._server = await loop.create_server(self._session, "127.0.0.1", 0, ssl=implicit)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, and cut every connection."""
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Cut every connection."""
        for session in self._sessions:
            if session.transport is not None:
                cast("asyncio.WriteTransport", session.transport).abort()
        self._sessions.clear()

    def _session(self) -> SMTP:
        self.connections += 1
        with catch_warnings():
            simplefilter("ignore")  # the login may be in clear: the server is on this machine
            session = self._protocol()
        self._sessions.append(session)
        return session

    def _protocol(self) -> SMTP:
        return SMTP(
            self,
            enable_SMTPUTF8=True,
            hostname="mx.example",
            loop=asyncio.get_running_loop(),
            tls_context=self._tls if self._starttls else None,
            require_starttls=self._starttls,
            auth_required=self._login,
            auth_require_tls=not self._login,  # so without a login it is not offered in clear
            authenticator=self._authenticate,
        )

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        given = cast("LoginPassword", data)
        return AuthResult(success=(given.login.decode(), given.password.decode()) == (USER, PASSWORD), handled=False)

    def _reply(self, server: SMTP, stage: str) -> str | None:
        fault = self._now.get(server)
        return fault[1] if fault is not None and fault[0] == stage else None

    async def handle_MAIL(  # noqa: N802  # the library calls it so
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Begin a message, with the next fault."""
        self._now[server] = self.faults.pop(0) if self.faults else None
        if reply := self._reply(server, "MAIL"):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take the recipient."""
        if reply := self._reply(server, "RCPT"):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take the message, up to its final dot."""
        reply = self._reply(server, "DATA")
        if reply is not None and reply != "cut":
            return reply
        content = envelope.original_content or b""
        self.accepted.append(message_from_bytes(content, policy=default))
        self.recipients.extend(envelope.rcpt_tos)
        if reply == "cut":
            with suppress(OSError):
                cast("asyncio.WriteTransport", server.transport).abort()
        return f"250 2.0.0 Ok: queued as Q{len(self.accepted)}"
