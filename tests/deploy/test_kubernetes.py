"""The Kubernetes manifests are held to the code: its settings, port, paths and deadlines, and to each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

from actors.api.checks import CHECK_WITHIN
from service.settings import read
from tests.deploy.test_files import ROOT, settings

FOLDER = ROOT / "deploy" / "kubernetes"
BASE, PRODUCTION = FOLDER / "base", FOLDER / "production"

Document = dict[str, Any]


def load(file: Path) -> list[Document]:
    return [one for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one]


def base() -> list[Document]:
    """What the base is made of, with the labels that it gives to everything."""
    (kustomization,) = load(BASE / "kustomization.yaml")
    return [document for name in kustomization["resources"] for document in load(BASE / name)]


def of(kind: str, name: str = "heyday") -> Document:
    (found,) = [one for one in base() if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def pods() -> dict[str, Document]:
    """The specs of the pods that run heyday."""
    return {kind: of(kind, name)["spec"]["template"]["spec"] for kind, name in WORKLOADS}


WORKLOADS = (("Deployment", "heyday"), ("Job", "heyday-migrate"))


def container(kind: str) -> Document:
    (only,) = pods()[kind]["containers"]
    return dict(only)


def production() -> dict[str, str]:
    lines = (PRODUCTION / "settings.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_resource_that_is_named_exists_and_every_file_is_named() -> None:
    """A file that no kustomization names is never applied, and nothing says so."""
    (kustomization,) = load(BASE / "kustomization.yaml")

    assert {*kustomization["resources"], "kustomization.yaml"} == {file.name for file in BASE.iterdir()}
    (overlay,) = load(PRODUCTION / "kustomization.yaml")
    assert [name for name in overlay["resources"] if not (PRODUCTION / name).exists()] == []


FOREIGN = {"Kustomization", "ServiceMonitor"}
"""Kinds that are no part of Kubernetes itself, so that it has no schema of them."""


@pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version().rpartition(".")[0]])
def test_every_manifest_is_one_that_kubernetes_knows(version: str) -> None:
    """By the schemas of its own releases, and strictly: a field that is misspelt is dropped without a word."""
    documents = [one for file in FOLDER.rglob("*.yaml") for one in load(file) if "kind" in one]

    for one in documents:
        if one["kind"] not in FOREIGN:
            kubernetes_validate.validate(one, version, strict=True)
    assert {one["kind"] for one in documents} >= {*FOREIGN, "Deployment", "Job", "Ingress", "NetworkPolicy"}


def test_the_schemas_refuse_a_field_that_is_misspelt() -> None:
    """Else the test above would show nothing."""
    node = of("Deployment")
    node["spec"]["template"]["spec"]["terminationGracePeriodsSeconds"] = 45

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(node, "1.29", strict=True)


def test_the_ingress_shows_what_nginx_shows() -> None:
    """The rest of a node takes no key: metrics, and what its health is made of."""
    (ingress,) = load(PRODUCTION / "ingress.yaml")
    (rule,) = ingress["spec"]["rules"]
    nginx = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    locations = set(re.findall(r"location (?:= )?(\S+) \{", nginx)) - {"/", "/docs/", "/api/v1/users:import"}

    assert {path["path"] for path in rule["http"]["paths"]} == locations
    assert {path["path"]: path["pathType"] for path in rule["http"]["paths"]}["/health"] == "Exact"
    backends = [path["backend"]["service"] for path in rule["http"]["paths"]]
    (port,) = of("Service")["spec"]["ports"]
    assert backends == [{"name": of("Service")["metadata"]["name"], "port": {"name": port["name"]}}] * len(backends)


def test_every_secret_that_is_needed_is_made_by_the_script() -> None:
    """An overlay that names another file fails on the day of the deployment."""
    (overlay,) = load(PRODUCTION / "kustomization.yaml")
    script = (ROOT / "deploy" / "secrets.sh").read_text(encoding="utf-8")

    files = [entry.partition("=secrets/")[2] for one in overlay["secretGenerator"] for entry in one["files"]]

    assert len(files) > 5
    assert [name for name in files if not re.search(rf"\b{name}\b", script)] == []


def test_every_setting_is_one_that_a_node_reads_and_all_of_them_make_a_node() -> None:
    """A misspelt variable is silently nothing."""
    named = {entry["name"] for kind, _ in WORKLOADS for entry in container(kind)["env"]} | production().keys()

    secrets = {
        "HEYDAY_DATABASE_URL": "postgresql://db/heyday",
        "HEYDAY_REDIS_URL": "redis://redis",
        "HEYDAY_EMAIL_URL": "https://email.example.com",
        "HEYDAY_API_KEYS": "key",
    }
    assert named - settings() == set()
    assert read(production() | secrets).cluster == "production"


@pytest.mark.parametrize(("kind", "generator"), [("Deployment", "heyday-node"), ("Job", "heyday-migrator")])
def test_every_secret_is_a_file_where_the_node_looks_for_it(kind: str, generator: str) -> None:
    """Mounted from the secret that the overlay makes, under the names that it has there."""
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
    assert files == {f"{mount}/{key}" for key in keys}


def test_probes_ask_paths_and_the_port_that_a_node_serves() -> None:
    """A probe of a path that is not there kills healthy nodes."""
    routes = (ROOT / "actors" / "api" / "application.py").read_text(encoding="utf-8") + (
        ROOT / "actors" / "api" / "health.py"
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
    """Else an outage shows as no answer, and not as the answer that says which server is away."""
    assert container("Deployment")["readinessProbe"]["timeoutSeconds"] > CHECK_WITHIN


def test_a_node_may_drain_before_it_is_killed() -> None:
    """The pause before SIGTERM counts, too: killed nodes leave outcomes unknown."""
    pause = int(container("Deployment")["lifecycle"]["preStop"]["exec"]["command"][-1])
    drain = float(production()["HEYDAY_DRAIN_WITHIN"].removesuffix("s"))

    assert pods()["Deployment"]["terminationGracePeriodSeconds"] >= pause + drain + 10


@pytest.mark.parametrize("kind", [kind for kind, _ in WORKLOADS])
def test_what_is_ours_is_not_root_and_can_write_and_do_nothing(kind: str) -> None:
    """The namespace enforces most of it; a read-only root is ours to ask for."""
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
    """A shell would keep SIGTERM for itself."""
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
    """One that finds nothing is no error anywhere: no traffic, no budget, no rule."""
    (kustomization,) = load(BASE / "kustomization.yaml")
    everywhere = kustomization["labels"][0]["pairs"]
    labels = [everywhere | of(kind, name)["spec"]["template"]["metadata"]["labels"] for kind, name in WORKLOADS]

    found = {name: [one for one in labels if wanted.items() <= one.items()] for name, wanted in selectors()}

    assert len(found) >= 6
    assert [name for name, pods_found in found.items() if len(pods_found) != 1] == []


def test_the_labels_of_the_base_reach_the_pods() -> None:
    """Without includeTemplates they would be on the Deployment alone, and every selector find nothing."""
    (kustomization,) = load(BASE / "kustomization.yaml")

    assert kustomization["labels"][0]["includeTemplates"] is True


def test_the_metric_that_scales_is_the_one_that_the_adapter_makes_of_ours() -> None:
    """A name that nobody provides leaves the number of nodes as it is, silently."""
    (adapter,) = load(FOLDER / "prometheus_adapter.yaml")
    (rule,) = adapter["externalRules"]
    (metric,) = of("HorizontalPodAutoscaler")["spec"]["metrics"]

    assert metric["external"]["metric"]["name"] == rule["name"]["as"]
    assert f"`{rule['seriesQuery'].partition('{')[0]}`" in (ROOT / "docs/reference/metrics.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is what builds it")
def test_kustomize_builds_production_with_names_that_fit(tmp_path: Path) -> None:
    """Generated names have a digest: whatever refers to them must have got it."""
    folder = shutil.copytree(FOLDER, tmp_path / "kubernetes")
    (overlay,) = load(PRODUCTION / "kustomization.yaml")
    for one in overlay["secretGenerator"]:
        for entry in one["files"]:
            (folder / "production" / entry.partition("=")[2]).write_text("secret")

    built = subprocess.run(
        ["kubectl", "kustomize", str(folder / "production")], capture_output=True, text=True, timeout=60, check=False
    )

    assert built.returncode == 0, built.stderr
    documents = [one for one in yaml.safe_load_all(built.stdout) if one]
    for one in documents:
        if one["kind"] not in FOREIGN:
            kubernetes_validate.validate(one, "1.29", strict=True)
    names = {(one["kind"], one["metadata"]["name"]) for one in documents}
    (node,) = [one["spec"]["template"] for one in documents if one["kind"] == "Deployment"]
    (settings_map,) = [name for kind, name in names if kind == "ConfigMap"]
    assert node["metadata"]["labels"] == {"app.kubernetes.io/name": "heyday", "app.kubernetes.io/component": "node"}
    assert node["spec"]["containers"][0]["envFrom"] == [{"configMapRef": {"name": settings_map}}]
    assert ("Secret", node["spec"]["volumes"][0]["secret"]["secretName"]) in names
    assert {one["metadata"].get("namespace") for one in documents if one["kind"] != "Namespace"} == {"heyday"}
