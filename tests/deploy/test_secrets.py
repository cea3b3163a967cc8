"""Tests deploy/secrets.sh: it makes all secrets of the production stack, with verified TLS, outside of git."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest

from actors.commands.doctor.transport import exposed
from actors.commands.sandbox.servers.ports import free_port
from actors.commands.sandbox.servers.rabbitmq import RabbitMQServer, installed_sbin
from service.settings import read
from tests.deploy.test_files import ROOT
from tests.yaml_files import read_yaml

STACK: dict[str, Any] = read_yaml(ROOT / "docker-compose.prod.yml")
SERVERS = ("postgres", "redis", "rabbitmq")


def make(folder: Path, *authority: str) -> None:
    command = [str(ROOT / "deploy" / "secrets.sh"), str(folder), "https://email.example.com", *authority]
    subprocess.run(command, check=True, timeout=60, cwd=folder.parent)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "secrets"
    make(folder)
    return folder


def url(made: Path, name: str) -> str:
    return (made / name).read_text(encoding="utf-8").strip()


def test_every_secret_of_the_stack_is_made_and_every_one_made_is_used(made: Path) -> None:
    """A missing secret stops the deployment. No service gets the authority's key."""
    files = {Path(one["file"].replace("${SECRETS:-./secrets}", "secrets")).name for one in STACK["secrets"].values()}

    assert {path.name for path in made.iterdir()} - files == {"servers_ca_key"}
    assert files - {path.name for path in made.iterdir()} == set()


def named(kind: str) -> Iterator[tuple[str, str]]:
    for service, one in STACK["services"].items():
        for entry in one.get(kind, []):
            yield service, entry if isinstance(entry, str) else entry["source"]


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_what_a_service_is_given_exists_and_all_of_it_is_given(kind: str) -> None:
    """One unknown name makes Swarm refuse the whole file; an unused one has no effect."""
    assert {name for _, name in named(kind)} == STACK[kind].keys()
    if kind == "configs":
        assert [one["file"] for one in STACK[kind].values() if not (ROOT / one["file"]).is_file()] == []


def test_secrets_are_private_and_a_second_run_changes_nothing(made: Path) -> None:
    """A password that changes under a running server locks all clients out."""
    before = {path.name: path.read_bytes() for path in made.iterdir()}

    make(made)

    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    assert [path.name for path in made.iterdir() if stat.S_IMODE(path.stat().st_mode) != 0o600] == []


def test_every_server_is_asked_for_in_verified_tls(made: Path) -> None:
    """heyday doctor warns of every connection that is not encrypted or verified; here it must not warn."""

    def here(name: str) -> str:
        """The URL, with the authority's file at the path of the test."""
        return url(made, name).replace("/run/secrets/", f"{made}/")

    for database in ("node_database_url", "migrator_database_url"):
        settings = read(
            {
                "HEYDAY_DATABASE_URL": here(database),
                "HEYDAY_REDIS_URL": here("redis_url"),
                "HEYDAY_RABBITMQ_URL": here("rabbitmq_url"),
                "HEYDAY_EMAIL_URL": here("email_url"),
            }
        )

        assert list(exposed(settings)) == []


GUIDE = (ROOT / "docs" / "DEPLOYMENT_GUIDE.md").read_text(encoding="utf-8")


def test_the_urls_name_the_authority_where_nodes_of_kubernetes_and_systemd_find_it(tmp_path: Path) -> None:
    """The mounted secret and the installed file are elsewhere than in Swarm, and a node would refuse its settings."""
    overlay = read_yaml(ROOT / "deploy/kubernetes/production/kustomization.yaml")
    pods = [read_yaml(ROOT / f"deploy/kubernetes/base/{name}.yaml") for name in ("node", "migrate")]
    mounted = {
        mount["mountPath"]
        for pod in pods
        for mount in pod["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        if mount["name"] == "secrets"
    }
    (folder,) = mounted
    kubernetes, systemd = f"{folder}/servers_ca", "/etc/heyday/servers_ca"

    make(tmp_path / "kubernetes", kubernetes)

    for name in ("migrator_database_url", "node_database_url", "redis_url", "rabbitmq_url"):
        assert url(tmp_path / "kubernetes", name).endswith(f"={kubernetes}")
    assert all("servers_ca=secrets/servers_ca" in one["files"] for one in overlay["secretGenerator"])
    assert f"deploy/secrets.sh deploy/kubernetes/production/secrets https://email.example.com {kubernetes}" in GUIDE
    assert f"install -m 644 secrets/servers_ca {systemd}\n" in GUIDE


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_has_a_certificate_that_nodes_trust_for_the_name_they_call_it_by(server: str, made: Path) -> None:
    """Verified with the library that nodes use. Another authority is not trusted."""
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
    """Make a TLS handshake in memory; raises the client's error about the certificate."""
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
    """A client without TLS must be refused."""
    rules = [line for line in (ROOT / "deploy" / file).read_text(encoding="utf-8").splitlines() if line[:1].isalpha()]

    assert [line for line in lines if not any(rule.startswith(line) for rule in rules)] == []
    assert [rule for rule in rules if rule.startswith(("host ", "hostnossl ", "listeners.tcp.", "port 6379"))] == []


def test_every_published_port_of_the_stack_speaks_tls() -> None:
    """Swarm publishes a port on every address, so the password of Grafana crossed the network in clear text."""
    published = {name: one["ports"] for name, one in STACK["services"].items() if one.get("ports")}
    grafana = STACK["services"]["grafana"]

    assert {name: [port["target"] for port in ports] for name, ports in published.items()} == {
        "proxy": [443],
        "grafana": [3000],
    }
    assert grafana["environment"]["GF_SERVER_PROTOCOL"] == "https"
    for variable in ("GF_SERVER_CERT_FILE", "GF_SERVER_CERT_KEY"):
        assert grafana["environment"][variable].removeprefix("/run/secrets/") in grafana["secrets"]


def test_rabbitmq_has_no_management_page_in_production() -> None:
    """It would take passwords. Each enabled plugin opens a listener, which the next test holds to TLS."""
    plugins = (ROOT / "deploy/rabbitmq/enabled_plugins").read_text(encoding="utf-8")

    assert plugins.strip() == "[rabbitmq_prometheus]."


class Metrics(RabbitMQServer):
    """A RabbitMQ with the plugins of the production stack, and the settings of their listeners."""

    def __init__(self, directory: Path, made: Path, plain: int, tls: int) -> None:
        super().__init__(directory)
        lines = (ROOT / "deploy/rabbitmq/tls.conf").read_text(encoding="utf-8").splitlines()
        text = "\n".join(line for line in lines if line.startswith("prometheus."))
        text = text.replace("/run/secrets", str(made)).replace("15692", str(plain)).replace("15691", str(tls))
        self._listeners = text + "\n"

    async def _without_plugins(self, scripts: Path) -> Path:
        return scripts

    def _launch(self, port: int) -> list[subprocess.Popen[bytes]]:
        self._home.keep("enabled_plugins", (ROOT / "deploy/rabbitmq/enabled_plugins").read_text(encoding="utf-8"))
        self._home.folder("conf.d")
        self._home.keep("conf.d/30-tls.conf", self._listeners)
        return super()._launch(port)

    def _spawn(
        self, command: list[str], *, stdin: str | None = None, directory: str = ".", **environment: str
    ) -> subprocess.Popen[bytes]:
        environment["RABBITMQ_CONFIG_FILES"] = str(self._home.path / "conf.d")
        return super()._spawn(command, stdin=stdin, directory=directory, **environment)


@pytest.fixture
def shown(made: Path) -> Iterator[Path]:
    """A directory whose `secrets` the account of a server can read."""
    with tempfile.TemporaryDirectory(prefix="heyday-metrics-", dir="/var/tmp") as name:
        secrets = shutil.copytree(made, Path(name) / "secrets")
        for path in (secrets.parent, secrets, *secrets.iterdir()):
            path.chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(installed_sbin() is None, reason="the server of the tests is a container with its own files")
async def test_metrics_of_rabbitmq_leave_its_machine_in_tls_only(shown: Path) -> None:
    """The plugin opens its listener in clear text beside the one in TLS, unless it is bound to the loopback address."""
    plain, tls = free_port(), free_port()
    server = Metrics(shown / "rabbitmq", shown / "secrets", plain, tls)
    await server.start()
    try:
        listening = {
            one.laddr.ip for one in psutil.net_connections("tcp") if (one.status, one.laddr.port) == ("LISTEN", plain)
        }
        context = ssl.create_default_context(cafile=shown / "secrets" / "servers_ca")
        reader, writer = await asyncio.open_connection("127.0.0.1", tls, ssl=context, server_hostname="rabbitmq")
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        response = await reader.read(1 << 16)
        writer.close()
    finally:
        await server.stop()

    assert listening <= {"127.0.0.1"}
    assert b" 200 OK" in response.splitlines()[0]


def test_prometheus_of_the_stack_scrapes_the_listener_in_tls() -> None:
    """It differs from the configuration of the laptop in this job, and in the exporters, which a laptop has not."""
    laptop, swarm = (read_yaml(ROOT / "deploy/prometheus" / name) for name in ("prometheus.yml", "swarm.yml"))
    jobs = {one["job_name"]: one for one in swarm["scrape_configs"]}
    rabbitmq = jobs["rabbitmq"]

    assert STACK["configs"]["prometheus_1"]["file"] == "deploy/prometheus/swarm.yml"
    assert rabbitmq["scheme"] == "https"
    assert rabbitmq["tls_config"]["ca_file"] == "/run/secrets/servers_ca"
    assert "servers_ca" in STACK["services"]["prometheus"]["secrets"]
    assert not rabbitmq["tls_config"].get("insecure_skip_verify")
    assert rabbitmq["tls_config"]["server_name"] == "rabbitmq"
    assert [one["port"] for one in rabbitmq["dns_sd_configs"]] == [15691]
    same = [one for name, one in jobs.items() if name not in ("rabbitmq", "host-exporter", "certificates")]
    assert {**swarm, "scrape_configs": same} == {
        **laptop, "scrape_configs": [one for one in laptop["scrape_configs"] if one["job_name"] != "rabbitmq"],
    }  # fmt: skip


@pytest.mark.parametrize("path", ["secrets/api_keys", "deploy/kubernetes/production/secrets/node_database_url"])
def test_git_does_not_take_them(path: str) -> None:
    """`git add --all` must not add them, because a pushed secret is public."""
    assert subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False).returncode == 0
