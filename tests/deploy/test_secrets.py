"""deploy/secrets.sh makes what the production stack reads, asks for verified TLS, and stays out of the repository."""

from __future__ import annotations

import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

from actors.doctor.transport import exposed
from service.settings import read
from tests.deploy.test_files import ROOT

STACK: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text(encoding="utf-8"))
SERVERS = ("postgres", "redis", "rabbitmq")


def make(folder: Path) -> None:
    subprocess.run(
        [ROOT / "deploy" / "secrets.sh", folder, "https://email.example.com"], check=True, timeout=60, cwd=folder.parent
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "secrets"
    make(folder)
    return folder


def url(made: Path, name: str) -> str:
    return (made / name).read_text(encoding="utf-8").strip()


def test_every_secret_of_the_stack_is_made_and_every_one_made_is_used(made: Path) -> None:
    """One that is missing stops the deployment; the key of the authority alone is given to nobody."""
    files = {Path(one["file"].replace("${SECRETS:-./secrets}", "secrets")).name for one in STACK["secrets"].values()}

    assert {path.name for path in made.iterdir()} - files == {"servers_ca_key"}
    assert files - {path.name for path in made.iterdir()} == set()


def named(kind: str) -> Iterator[tuple[str, str]]:
    for service, one in STACK["services"].items():
        for entry in one.get(kind, []):
            yield service, entry if isinstance(entry, str) else entry["source"]


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_what_a_service_is_given_exists_and_all_of_it_is_given(kind: str) -> None:
    """Swarm refuses the whole file for one name; what nobody gets is a setting that does nothing."""
    assert {name for _, name in named(kind)} == STACK[kind].keys()
    if kind == "configs":
        assert [one["file"] for one in STACK[kind].values() if not (ROOT / one["file"]).is_file()] == []


def test_nobody_else_can_read_them_and_a_second_run_changes_nothing(made: Path) -> None:
    """A password that changes under a running server locks everybody out."""
    before = {path.name: path.read_bytes() for path in made.iterdir()}

    make(made)

    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    assert [path.name for path in made.iterdir() if stat.S_IMODE(path.stat().st_mode) != 0o600] == []


def test_every_server_is_asked_for_in_verified_tls(made: Path) -> None:
    """The doctor, who warns of any way that is not encrypted or not verified, has nothing to say."""
    for database in ("node_database_url", "migrator_database_url"):
        settings = read(
            {
                "HEYDAY_DATABASE_URL": url(made, database),
                "HEYDAY_REDIS_URL": url(made, "redis_url"),
                "HEYDAY_RABBITMQ_URL": url(made, "rabbitmq_url"),
                "HEYDAY_EMAIL_URL": url(made, "email_url"),
            }
        )

        assert list(exposed(settings)) == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_has_a_certificate_that_nodes_trust_for_the_name_they_call_it_by(server: str, made: Path) -> None:
    """Verified by the very library that nodes use; an authority of others is not trusted."""
    secret = {"postgres": "node_database_url"}.get(server, f"{server}_url")
    host = urlsplit(url(made, secret)).hostname
    at_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    at_server.load_cert_chain(made / f"{server}_certificate", made / f"{server}_key")

    assert host == server
    assert shakes_hands(at_server, ssl.create_default_context(cafile=made / "servers_ca"), host)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shakes_hands(at_server, ssl.create_default_context(cafile=made / "servers_ca"), "another")
    with pytest.raises(ssl.SSLCertVerificationError):
        shakes_hands(at_server, ssl.create_default_context(), host)


def shakes_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str | None) -> bool:
    """A handshake in memory; raises what the client has against the certificate."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done: set[int] = set()
    while len(done) < len(ends):
        for number, end in enumerate(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            done.add(number)
    return True


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("postgres/pg_hba.conf", ["local ", "hostssl "]),
        ("redis/redis.conf", ["port 0", "tls-port 6379", "tls-replication yes"]),
        ("rabbitmq/tls.conf", ["listeners.tcp = none", "listeners.ssl.default = 5671"]),
    ],
)
def test_no_server_of_the_stack_listens_in_clear_text(file: str, lines: list[str]) -> None:
    """A client that forgets TLS is refused, rather than served."""
    rules = [line for line in (ROOT / "deploy" / file).read_text(encoding="utf-8").splitlines() if line[:1].isalpha()]

    assert [line for line in lines if not any(rule.startswith(line) for rule in rules)] == []
    assert [rule for rule in rules if rule.startswith(("host ", "hostnossl ", "listeners.tcp.", "port 6379"))] == []


@pytest.mark.parametrize("path", ["secrets/api_keys", "deploy/kubernetes/production/secrets/node_database_url"])
def test_git_does_not_take_them(path: str) -> None:
    """`git add --all` is typed in a hurry, and what was pushed once is public for ever."""
    assert subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False).returncode == 0
