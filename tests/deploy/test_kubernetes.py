"""Checks the Kubernetes manifests against the code (settings, port, paths, deadlines) and against each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grafana import kubernetes
from grafana.files import FOLDER as BOARDS
from service.api.health_checks import HEALTH_CHECK_TIMEOUT
from service.settings import read
from tests.deploy.test_files import ROOT, settings
from tests.docs.test_documents import declared
from tests.yaml_files import documents_of

FOLDER = ROOT / "deploy" / "kubernetes"
BASE, PRODUCTION, MONITORING = FOLDER / "base", FOLDER / "production", FOLDER / "monitoring"

Document = dict[str, Any]


def load(file: Path) -> list[Document]:
    return documents_of(file.read_text(encoding="utf-8"))


def base() -> list[Document]:
    """Return the resources of the base, with the labels that it adds."""
    (kustomization,) = load(BASE / "kustomization.yaml")
    return [document for name in kustomization["resources"] for document in load(BASE / name)]


def of(kind: str, name: str = "heyday") -> Document:
    (found,) = [one for one in base() if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def pods() -> dict[str, Document]:
    """Return the specs of the pods that run heyday."""
    return {kind: of(kind, name)["spec"]["template"]["spec"] for kind, name in WORKLOADS}


WORKLOADS = (("Deployment", "heyday"), ("Job", "heyday-migrate"))


def container(kind: str) -> Document:
    (only,) = pods()[kind]["containers"]
    return dict(only)


def production() -> dict[str, str]:
    lines = (PRODUCTION / "settings.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_resource_that_is_named_exists_and_every_file_is_named() -> None:
    """A file that no kustomization names is never applied, and no error shows it."""
    for folder in (BASE, MONITORING):
        (kustomization,) = load(folder / "kustomization.yaml")
        named = {name for name in kustomization["resources"] if not name.startswith("../")}
        assert named | {"kustomization.yaml"} == {file.name for file in folder.iterdir()}
    (overlay,) = load(PRODUCTION / "kustomization.yaml")
    assert [name for name in overlay["resources"] if not (PRODUCTION / name).exists()] == []


def test_the_alerts_are_those_of_prometheus_and_every_dashboard_is_a_config_map() -> None:
    """After a change to `deploy/alerts`: python -m grafana."""
    assert kubernetes.FILE.read_text(encoding="utf-8") == kubernetes.content()
    for one, file in zip(load(kubernetes.FILE), kubernetes.RULES.values(), strict=True):
        assert [one["spec"]] == load(file)
    (dashboards,) = load(BOARDS / "kustomization.yaml")
    files = [file for one in dashboards["configMapGenerator"] for file in one["files"]]
    assert files == sorted(file.name for file in BOARDS.glob("*.json"))


FOREIGN = {"Kustomization", "ServiceMonitor", "PrometheusRule"}
"""Kinds that are not part of Kubernetes, which has no schema for them."""


OLDEST, NEWEST = "1.29", "newest"
"""Releases of Kubernetes whose schemas are compared; NEWEST is the latest that kubernetes_validate has."""


def mistake(document: Document, release: str = OLDEST) -> str | None:
    """Return what the schemas of a release, read strictly, say against a resource; None if they accept it."""
    # Imported here: it compiles grammars for more than a second, which every process of the tests would spend.
    import kubernetes_validate  # type: ignore[import-untyped]  # it has no types

    if release == NEWEST:
        release = kubernetes_validate.latest_version().rpartition(".")[0]
    try:
        kubernetes_validate.validate(document, release, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error)
    return None


@pytest.mark.parametrize("release", [OLDEST, NEWEST])
def test_every_manifest_is_one_that_kubernetes_knows(release: str) -> None:
    """Strictly by the schemas of its releases, because Kubernetes silently drops a misspelt field."""
    documents = [one for file in FOLDER.rglob("*.yaml") for one in load(file) if "kind" in one]

    for one in documents:
        if one["kind"] not in FOREIGN:
            assert mistake(one, release) is None
    assert {one["kind"] for one in documents} >= {*FOREIGN, "Deployment", "Job", "Ingress", "NetworkPolicy"}


def test_the_schemas_refuse_a_field_that_is_misspelt() -> None:
    """It shows that the test above can fail."""
    node = of("Deployment")
    node["spec"]["template"]["spec"]["terminationGracePeriodsSeconds"] = 45

    assert "terminationGracePeriodsSeconds" in (mistake(node) or "")


def test_the_ingress_shows_what_nginx_shows() -> None:
    """The other routes need no key: metrics and detailed health."""
    (ingress,) = load(PRODUCTION / "ingress.yaml")
    (rule,) = ingress["spec"]["rules"]
    nginx = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    # Without the last one, which answers 404 to everything else.
    found = {path for exact, path in re.findall(r"location (= )?(/\S*) \{", nginx) if exact or path != "/"}
    locations = found - {"/docs/", "/console/"}

    assert {path["path"] for path in rule["http"]["paths"]} == locations
    types = {path["path"]: path["pathType"] for path in rule["http"]["paths"]}
    assert (types["/health"], types["/"]) == ("Exact", "Exact")
    backends = [path["backend"]["service"] for path in rule["http"]["paths"]]
    (port,) = of("Service")["spec"]["ports"]
    assert backends == [{"name": of("Service")["metadata"]["name"], "port": {"name": port["name"]}}] * len(backends)


def test_every_secret_that_is_needed_is_made_by_the_script() -> None:
    """An overlay that names another file fails at the deployment."""
    (overlay,) = load(PRODUCTION / "kustomization.yaml")
    script = (ROOT / "deploy" / "secrets.sh").read_text(encoding="utf-8")

    files = [entry.partition("=secrets/")[2] for one in overlay["secretGenerator"] for entry in one["files"]]

    assert len(files) > 5
    assert [name for name in files if not re.search(rf"\b{name}\b", script)] == []


def test_every_setting_is_one_that_a_node_reads_and_all_of_them_make_a_node() -> None:
    """A misspelt variable has no effect, and no error shows it."""
    named = {entry["name"] for kind, _ in WORKLOADS for entry in container(kind)["env"]} | production().keys()

    secrets = {
        "HEYDAY_DATABASE_URL": "postgresql://db/heyday",
        "HEYDAY_REDIS_URL": "redis://redis",
        "HEYDAY_EMAIL_URL": "https://email.example.com",
        "HEYDAY_API_KEYS": "a-key-of-16-chars",
    }
    assert named - settings() == set()
    assert read(production() | secrets).cluster == "production"


@pytest.mark.parametrize(("kind", "generator"), [("Deployment", "heyday-node"), ("Job", "heyday-migrator")])
def test_every_secret_is_a_file_where_the_node_looks_for_it(kind: str, generator: str) -> None:
    """The secret of the overlay must be mounted under the names that the settings use."""
    (overlay,) = load(PRODUCTION / "kustomization.yaml")
    (keys,) = [
        {entry.partition("=")[0] for entry in one["files"]}
        for one in overlay["secretGenerator"]
        if one["name"] == generator
    ]
    (volume,) = [one["secret"]["secretName"] for one in pods()[kind]["volumes"] if "secret" in one]
    (mount,) = [one["mountPath"] for one in container(kind)["volumeMounts"] if one["name"] == "secrets"]

    files = {entry["value"] for entry in container(kind)["env"] if entry["name"].endswith("_FILE")}

    assert volume == generator
    # The URLs name the authority, and no variable does.
    assert files == {f"{mount}/{key}" for key in keys - {"servers_ca"}}


def test_probes_ask_paths_and_the_port_that_a_node_serves() -> None:
    """A probe of a missing path kills healthy nodes."""
    routes = (ROOT / "service" / "api" / "application.py").read_text(encoding="utf-8") + (
        ROOT / "service" / "api" / "routes" / "health.py"
    ).read_text(encoding="utf-8")
    node = container("Deployment")
    probes = {name: node[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

    paths = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
    assert paths == {"startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
    assert all(f'"{path}"' in routes for path in {*paths.values(), "/metrics"})
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {node["ports"][0]["name"]} == {"http"}
    assert production()["HEYDAY_BIND"].endswith(f":{node['ports'][0]['containerPort']}")
    assert f"EXPOSE {node['ports'][0]['containerPort']}" in (ROOT / "Dockerfile.prod").read_text(encoding="utf-8")


def test_readiness_waits_for_longer_than_a_node_looks_at_its_servers() -> None:
    """With a shorter time-out an outage gives no answer instead of the answer that names the server."""
    assert container("Deployment")["readinessProbe"]["timeoutSeconds"] > HEALTH_CHECK_TIMEOUT


def test_a_node_may_drain_before_it_is_killed() -> None:
    """The pause before SIGTERM counts, too. Killed nodes leave unknown outcomes."""
    pause = int(container("Deployment")["lifecycle"]["preStop"]["exec"]["command"][-1])
    drain = float(production()["HEYDAY_DRAIN_WITHIN"].removesuffix("s"))

    assert pods()["Deployment"]["terminationGracePeriodSeconds"] >= pause + drain + 10


@pytest.mark.parametrize("kind", [kind for kind, _ in WORKLOADS])
def test_pods_of_heyday_are_not_root_and_cannot_write(kind: str) -> None:
    """The namespace enforces most of it, but not a read-only root."""
    pod, image = pods()[kind], (ROOT / "Dockerfile.prod").read_text(encoding="utf-8")

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in image
    assert container(kind)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("kind", [kind for kind, _ in WORKLOADS])
def test_heyday_is_run_without_a_shell(kind: str) -> None:
    """A shell would not pass on SIGTERM."""
    assert container(kind)["command"][0] == "heyday"


def selectors() -> Iterator[tuple[str, dict[str, str]]]:
    for document in base():
        spec, name = document.get("spec", {}), f"{document['kind']}/{document['metadata']['name']}"
        if document["kind"] == "Service":
            yield name, spec["selector"]
        elif "podSelector" in spec:
            yield name, spec["podSelector"]["matchLabels"]
        elif "selector" in spec:
            yield name, spec["selector"]["matchLabels"]
    for constraint in pods()["Deployment"]["topologySpreadConstraints"]:
        yield "spread", constraint["labelSelector"]["matchLabels"]


def test_every_selector_finds_pods_or_the_service() -> None:
    """A selector that finds nothing is no error: there is just no traffic, budget or rule."""
    (kustomization,) = load(BASE / "kustomization.yaml")
    everywhere = kustomization["labels"][0]["pairs"]
    labels = [everywhere | of(kind, name)["spec"]["template"]["metadata"]["labels"] for kind, name in WORKLOADS]

    found = {name: [one for one in labels if wanted.items() <= one.items()] for name, wanted in selectors()}

    assert len(found) >= 6
    assert [name for name, pods_found in found.items() if len(pods_found) != 1] == []


def test_the_labels_of_the_base_reach_the_pods() -> None:
    """Without includeTemplates only the Deployment would have them, and no selector would match."""
    (kustomization,) = load(BASE / "kustomization.yaml")

    assert kustomization["labels"][0]["includeTemplates"] is True


OF_THE_OPERATOR = {"job", "namespace", "service", "pod", "container", "endpoint"}
"""The labels that the Prometheus operator gives to every target, beside `instance`."""


def test_prometheus_renames_no_label_of_a_metric_but_job() -> None:
    """A label that its target has, too, gets another name, and alerts and dashboards would find no series."""
    (monitor,) = load(MONITORING / "service_monitor.yaml")
    (endpoint,) = monitor["spec"]["endpoints"]
    dropped = {one["regex"] for one in endpoint.get("relabelings", ()) if one["action"] == "labeldrop"}

    labels = {label for metric in declared() for label in metric._labelnames}

    assert labels & (OF_THE_OPERATOR - dropped) == {"job"}


def test_the_autoscaler_uses_the_metric_that_the_adapter_makes() -> None:
    """With an unknown name the number of nodes silently stays as it is."""
    (adapter,) = load(FOLDER / "prometheus_adapter.yaml")
    (rule,) = adapter["externalRules"]
    (metric,) = of("HorizontalPodAutoscaler")["spec"]["metrics"]

    assert metric["external"]["metric"]["name"] == rule["name"]["as"]
    assert f"`{rule['seriesQuery'].partition('{')[0]}`" in (ROOT / "docs/reference/metrics.md").read_text(
        encoding="utf-8"
    )


def built(tmp_path: Path) -> list[Document]:
    """Return what kustomize builds of the production overlay, with secrets of a word each."""
    folder = shutil.copytree(FOLDER, tmp_path / "deploy" / "kubernetes")
    shutil.copytree(BOARDS, tmp_path / "grafana" / "dashboards")
    (overlay,) = load(PRODUCTION / "kustomization.yaml")
    for one in overlay["secretGenerator"]:
        for entry in one["files"]:
            (folder / "production" / entry.partition("=")[2]).write_text("secret")
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder / "production")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    # The dashboards are a quarter of a megabyte of YAML.
    return documents_of(done.stdout)


needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is what builds it")


@needs_kubectl
def test_kustomize_builds_production_with_names_that_fit(tmp_path: Path) -> None:
    """Generated names have a digest, and every reference must have it, too."""
    documents = built(tmp_path)

    for one in documents:
        if one["kind"] not in FOREIGN:
            assert mistake(one) is None
    names = {(one["kind"], one["metadata"]["name"]) for one in documents}
    (node,) = [one["spec"]["template"] for one in documents if one["kind"] == "Deployment"]
    (settings_map,) = [
        one["metadata"]["name"] for one in documents if one["kind"] == "ConfigMap" and "HEYDAY_BIND" in one["data"]
    ]
    assert node["metadata"]["labels"] == {"app.kubernetes.io/name": "heyday", "app.kubernetes.io/component": "node"}
    assert node["spec"]["containers"][0]["envFrom"] == [{"configMapRef": {"name": settings_map}}]
    assert ("Secret", node["spec"]["volumes"][0]["secret"]["secretName"]) in names
    assert {one["metadata"].get("namespace") for one in documents if one["kind"] != "Namespace"} == {"heyday"}
    # An applied object is kept once more in an annotation, which may have 256 KiB with all others.
    assert max(len(json.dumps(json.dumps(one))) for one in documents) < 2**18
