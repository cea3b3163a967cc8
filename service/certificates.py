"""The certificates that URLs of servers name: checks of their files, and sentences for TLS that fails."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

OF_THE_SYSTEM = "the operating system"
"""The authorities that are trusted where a URL names none."""

_WRONG_NAME = (62, 64)
"""Verification codes of OpenSSL (x509_vfy.h): host name and IP address are not those of the certificate."""

_EXPIRED = 10

_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)

_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING", "HTTP_REQUEST")


def check_readable(option: str, path: str) -> None:
    """Raise ValueError with option, file and reason, unless the file can be read."""
    try:
        Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ValueError(f"{option}={path} to be a readable file ({error.strerror})") from None
    except ValueError:  # a NUL, which no path has
        raise ValueError(f"{option} to be the path of a file") from None


def check_authorities(option: str, path: str) -> None:
    """Raise ValueError, unless the file holds certificates of authorities."""
    check_readable(option, path)
    try:
        ssl.create_default_context(cafile=str(Path(path).expanduser()))
    except ssl.SSLError:
        raise ValueError(f"{option}={path} to be a file of certificates in PEM format") from None


def check_client_certificate(options: Mapping[str, str], certificate: str, key: str) -> None:
    """Raise ValueError, unless the files of the options `certificate` and `key` fit each other. Both may be missing."""
    path = options.get(certificate)
    for option in (certificate, key):
        if option in options:
            check_readable(option, options[option])
    if path is None:
        if key in options:
            raise ValueError(f"{certificate}=FILE beside {key}")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, options.get(key), password=lambda: "")
    except ssl.SSLError:
        raise ValueError(f"{certificate}={path} to be a certificate with its key in PEM format") from None


def tls_sentence(error: ssl.SSLError, *, setting: str, server: str, authorities: str) -> str:
    """Return the failure of a handshake with the setting, the server and the remedy.

    `authorities` says which authorities are trusted, such as `sslrootcert=/run/secrets/servers_ca`.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{setting}: {_untrusted(error, server, authorities)}"
    if error.reason in _NO_TLS:
        return f"{setting}: {server} does not speak TLS; use its port for TLS, or enable TLS on the server"
    return f"{setting}: no TLS with {server} ({error.reason or error}); compare the certificates of both sides"


def _untrusted(error: ssl.SSLCertVerificationError, server: str, authorities: str) -> str:
    said = f"the certificate of {server} is not accepted ({error.verify_message.rstrip('.')})"
    if error.verify_code in _WRONG_NAME:
        return f"{said}; use a host name that the certificate has, or renew it with this name"
    if error.verify_code == _EXPIRED:
        return f"{said}; renew the certificate on the server"
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return f"{said}; no authority of {authorities} has signed it: name the file of the authority that has"
    return f"{said}; renew the certificate on the server, or correct {authorities}"
