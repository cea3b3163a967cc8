"""The result of an attempt that the email service did not answer.

An Answer never claims more than is known: a transient failure without a status code means that not one byte of the
request was written, and once a byte was, the lack of an answer is an unknown outcome.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl

import aiohttp

from service.adapters.email.connection import MalformedResponse
from service.domain.messages import Answer, Outcome, UnavailableReason

_CERTIFICATE_ALERT = re.compile(r"ALERT_(BAD_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED)")
"""OpenSSL's names of the alerts by which a server refuses a client's certificate (RFC 8446, 6.2)."""


def no_answer(failure: Exception, duration: float, *, written: bool) -> Answer:
    """The result of an attempt without an answer of the service."""
    if isinstance(failure, aiohttp.ClientHttpProxyError):
        not_authorised = UnavailableReason.NOT_AUTHORISED if failure.status == 407 else None
        error = f"the proxy answered {failure.status}"
        return Answer(Outcome.TRANSIENT_FAILURE, duration, error=error, unavailable=not_authorised)
    if written and _was_refused_by_tls(failure):
        error = "the service refused our client certificate"
        refused = UnavailableReason.NOT_AUTHORISED
        return Answer(Outcome.TRANSIENT_FAILURE, duration, error=error, unavailable=refused)
    return Answer(
        Outcome.UNKNOWN if written else Outcome.TRANSIENT_FAILURE,
        duration,
        error=_describe(failure, written=written),
        timed_out=isinstance(failure, TimeoutError),
    )


def _was_refused_by_tls(failure: Exception) -> bool:
    """True if the server ended the handshake over our certificate: then it has read no byte of the request.

    In TLS 1.3 a client is done with the handshake, and writes, before the server has looked at its certificate.
    """
    return any(isinstance(one, OSError) and _CERTIFICATE_ALERT.search(str(one)) for one in (failure, failure.__cause__))


def _describe(failure: Exception, *, written: bool) -> str:
    """A few words on why there is no answer. The exception's own text names hosts, so it is not used."""
    match failure:
        case aiohttp.ClientProxyConnectionError():
            return "no connection to the proxy"
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return "name not resolved"
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
            return "certificate not valid"
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return "TLS failed"
        case aiohttp.ClientResponseError() | MalformedResponse():
            return "malformed answer"
        case TimeoutError():
            return "no answer in time" if written else "no connection in time"
    reason = errno.errorcode.get(failure.errno or 0) if isinstance(failure, OSError) else None
    what = "connection lost before an answer" if written else "no connection"
    return f"{what} ({reason})" if reason else what
