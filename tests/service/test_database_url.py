"""The URL of PostgreSQL: several hosts, and usable certificates."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from service.database_url import database_url, parse_database_url
from service.settings import BadConfiguration, read_database_url


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("postgresql://h:s@a/heyday", ["postgresql://h:s@a/heyday"]),
        (
            "postgresql://h:s@a:5432,b:5433/heyday?target_session_attrs=read-write",
            ["postgresql://h:s@a:5432/heyday", "postgresql://h:s@b:5433/heyday"],
        ),
        (
            "postgres://h:p%40ss@[::1]:1,[::2]:2/d?sslmode=require",
            ["postgres://h:p%40ss@[::1]:1/d?sslmode=require", "postgres://h:p%40ss@[::2]:2/d?sslmode=require"],
        ),
        (
            "postgresql:///d?host=/run/a,/run/b&port=5432,5433",
            ["postgresql:/d?host=%2Frun%2Fa&port=5432", "postgresql:/d?host=%2Frun%2Fb&port=5433"],
        ),
    ],
)
def test_each_server_has_a_url_of_its_own(text: str, urls: list[str]) -> None:
    """They are tried one after the other, each with its own time-out."""
    assert list(parse_database_url(text).servers) == urls
    assert database_url(text) == text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("sslmode=verify-full", "add sslrootcert=FILE, or sslrootcert=system"),
        ("sslmode=verify-ca", "add sslrootcert=FILE, or sslrootcert=system"),
        ("sslmode=require&sslrootcert=/nowhere/root.crt", "sslrootcert=/nowhere/root.crt to be a readable file"),
        (
            "sslcert=/nowhere/client.crt",
            "sslcert=/nowhere/client.crt to be a readable file (No such file or directory)",
        ),
        ("sslkey=/nowhere/client.key", "sslkey=/nowhere/client.key to be a readable file"),
        ("sslmode=verify-ca&sslrootcert=system", "sslmode=verify-full with sslrootcert=system"),
        ("sslmode=full", "sslmode to be one of disable, allow"),
        ("sslmode=require&sslrootcert=%00", "sslrootcert to be the path of a file"),
        ("target_session_attrs=standby", "because heyday writes, and not standby"),
    ],
)
def test_options_that_cannot_work_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: str, sentence: str
) -> None:
    """Otherwise a node would crash repeatedly, or wait for ever, without naming the file."""
    monkeypatch.setenv("HOME", str(tmp_path))  # has no ~/.postgresql/root.crt

    with pytest.raises(BadConfiguration) as refused:
        read_database_url({"HEYDAY_DATABASE_URL": f"postgresql://h:secret@db/heyday?{options}"})

    (error,) = refused.value.errors
    assert error.startswith("HEYDAY_DATABASE_URL='***': expected ")
    assert sentence in error
    assert "secret" not in error


@pytest.mark.parametrize("port", ["x", "0", "65536", "5432,x"])
def test_a_port_in_the_options_is_a_number(port: str) -> None:
    """The port of an address is checked by the library; this one would be an outage that lasts."""
    with pytest.raises(ValueError, match="a port from 1 to 65535, and not"):
        database_url(f"postgresql:///heyday?host=/run/a,/run/b&port={port}")


@pytest.mark.parametrize("host", ["db..internal", "x" * 64])
def test_a_host_in_the_options_can_be_looked_up(host: str) -> None:
    with pytest.raises(ValueError, match="a host that can be looked up, and not"):
        database_url(f"postgresql:///heyday?host=/run/{'a' * 64},{host}")


def test_a_file_that_holds_no_certificate_is_refused(tmp_path: Path) -> None:
    """The file exists but is useless."""
    path = tmp_path / "root.crt"
    path.write_text("not a certificate")

    with pytest.raises(ValueError, match="to be a file of certificates in PEM format"):
        database_url(f"postgresql://db/heyday?sslmode=verify-full&sslrootcert={path}")


def test_certificates_that_are_there_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Path
) -> None:
    """They are in the named file, at libpq's own place, or those of the operating system."""
    monkeypatch.setenv("HOME", str(tmp_path))
    named = parse_database_url(f"postgresql://db/heyday?sslmode=verify-full&sslrootcert={authority}")
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").write_bytes(authority.read_bytes())
    own = parse_database_url("postgresql://db/heyday?sslmode=verify-full")
    system = parse_database_url("postgresql://db/heyday?sslmode=verify-full&sslrootcert=system")

    assert (named.system_roots, own.system_roots, system.system_roots) == (False, False, True)
    assert list(system.servers) == ["postgresql://db/heyday"]
