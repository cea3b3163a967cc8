"""Checks the Helm chart with Helm itself: it renders the manifests of `deploy/kubernetes`, and what its values say."""

from __future__ import annotations

import json
import tarfile
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from service.settings import read
from tests.deploy.test_files import ROOT, settings
from tests.deploy.test_kubernetes import (
    FOREIGN,
    Document,
    built,
    load,
    mistake,
    needs_kubectl,
    production,
)
from tests.yaml_files import documents_of, read_yaml

CHART = ROOT / "deploy" / "helm" / "heyday"
VALUES: dict[str, Any] = read_yaml(CHART / "values.yaml")

helm = pytest.importorskip("helm_python", reason="its wheel is for Linux on x86-64")

Objects = dict[tuple[str, str], Document]


@cache
def rendered(values: str) -> str:
    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(json.loads(values), name="heyday", namespace="heyday")
    return "\n".join(content for name, content in files.items() if name.endswith(".yaml"))


def render(values: Document | None = None) -> Objects:
    """Return the objects of a first installation by kind and name."""
    documents = documents_of(rendered(json.dumps(values or {})))
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


def test_helm_finds_no_mistake() -> None:
    """It looks at the chart, at its values and at what it renders."""
    found = helm.lint(str(CHART))

    assert found["errors"] == []
    assert [one["error"] for one in found["messages"]] == ["icon is recommended"]


def without_names(documents: list[Document]) -> Objects:
    """Return objects by kind and name, without what the two tools do in their own ways.

    kustomize: a namespace, its Namespace, secrets from files, names with a digest. Helm: labels of its own, a digest of
    the settings as an annotation, a number in the name of the migration.
    """
    digests = {
        name: name.rpartition("-")[0]
        for one in documents
        if one["kind"] in ("ConfigMap", "Secret") and "grafana_dashboard" not in one["metadata"].get("labels", {})
        for name in [one["metadata"]["name"]]
        if len(name.rpartition("-")[2]) == 10
    }
    text = json.dumps(documents)
    for name, plain in digests.items():
        text = text.replace(name, plain)
    objects = {}
    for one in json.loads(text):
        if one["kind"] in ("Namespace", "Secret"):
            continue
        metadata = one["metadata"]
        metadata.pop("namespace", None)
        labels = metadata.get("labels", {})
        for label in ("app.kubernetes.io/managed-by", "helm.sh/chart", "app.kubernetes.io/name"):
            labels.pop(label, None)
        if not labels:
            metadata.pop("labels", None)
        if one["kind"] == "Job":
            metadata["name"] = metadata["name"].removesuffix("-1")
        if one["kind"] == "Deployment":
            one["spec"]["template"]["metadata"].pop("annotations", None)
        objects[(one["kind"], metadata["name"])] = one
    return objects


@needs_kubectl
def test_the_chart_and_the_overlay_make_the_same_objects(tmp_path: Path) -> None:
    """A change in one of them that the other lacks is a deployment without a test."""
    by_helm, by_kustomize = without_names(list(render().values())), without_names(built(tmp_path))

    assert by_helm.keys() == by_kustomize.keys()
    assert len(by_helm) == 18
    for name, one in by_helm.items():
        assert one == by_kustomize[name]


def test_kubernetes_knows_every_object() -> None:
    """With values other than the defaults, which the test above compares."""
    values = {
        "image": {"pullSecrets": ["registry"], "digest": f"sha256:{'a' * 64}"},
        "nodes": {"resources": {"limits": {"memory": "1Gi"}}},
        "monitoring": {"labels": {"release": "watching"}},
    }

    for one in render(values).values():
        if one["kind"] not in FOREIGN:
            assert mistake(one) is None


def test_every_value_has_its_effect() -> None:
    """A value that nothing reads would be believed."""
    objects = render(
        {
            "image": {"repository": "registry.test/heyday", "tag": "2.0", "pullSecrets": ["registry"]},
            "settings": {"HEYDAY_EMAIL_RATE": "20/s"},
            "secrets": {"node": "my-node", "migrator": "my-migrator"},
            "nodes": {"least": 4, "most": 5, "resources": {"limits": {"memory": "1Gi"}}},
            "network": {"ingressNamespace": "doors", "monitoringNamespace": "watching"},
            "ingress": {"className": "traefik", "host": "greet.test", "tlsSecret": "greet-tls"},
            "monitoring": {"labels": {"release": "prometheus"}, "repository": "https://git.test/heyday"},
        }
    )
    node, migration = objects["Deployment", "heyday"], objects["Job", "heyday-migrate-1"]
    pods = [one["spec"]["template"]["spec"] for one in (node, migration)]
    (route,) = objects["Ingress", "heyday"]["spec"]["rules"]
    rules = objects["PrometheusRule", "heyday"]

    assert [pod["containers"][0]["image"] for pod in pods] == ["registry.test/heyday:2.0"] * 2
    assert [pod["imagePullSecrets"] for pod in pods] == [[{"name": "registry"}]] * 2
    assert [pod["volumes"][0]["secret"]["secretName"] for pod in pods] == ["my-node", "my-migrator"]
    assert pods[0]["containers"][0]["resources"] == {"limits": {"memory": "1Gi"}}
    assert objects["ConfigMap", "heyday"]["data"] == VALUES["settings"] | {"HEYDAY_EMAIL_RATE": "20/s"}
    scaling = objects["HorizontalPodAutoscaler", "heyday"]["spec"]
    assert (scaling["minReplicas"], scaling["maxReplicas"]) == (4, 5)
    assert [
        one["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for one in objects["NetworkPolicy", "heyday-node"]["spec"]["ingress"][0]["from"]
    ] == ["doors", "watching"]
    ingress = objects["Ingress", "heyday"]["spec"]
    assert (ingress["ingressClassName"], route["host"]) == ("traefik", "greet.test")
    assert ingress["tls"] == [{"hosts": ["greet.test"], "secretName": "greet-tls"}]
    for one in (rules, objects["ServiceMonitor", "heyday"]):
        assert one["metadata"]["labels"]["release"] == "prometheus"
    links = [
        rule["annotations"]["runbook_url"]
        for group in rules["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert {link.partition("/blob/")[0] for link in links} == {"https://git.test/heyday"}


@pytest.mark.parametrize("value", ["serviceMonitor", "alerts", "dashboards"])
def test_each_part_of_monitoring_can_be_left_out(value: str) -> None:
    """A cluster without the Prometheus operator refuses objects of its kinds."""
    kinds = {"serviceMonitor": "ServiceMonitor", "alerts": "PrometheusRule", "dashboards": "ConfigMap"}

    everything, left = render(), render({"monitoring": {value: False}})

    missing = everything.keys() - left.keys()
    assert missing
    assert {kind for kind, _ in missing} == {kinds[value]}
    assert ("ConfigMap", "heyday") in left


def test_the_ingress_can_be_left_out() -> None:
    """For a cluster with a gateway of another kind."""
    assert render().keys() - render({"ingress": {"enabled": False}}).keys() == {("Ingress", "heyday")}


def digest(objects: Objects) -> str:
    return str(objects["Deployment", "heyday"]["spec"]["template"]["metadata"]["annotations"]["checksum/settings"])


@pytest.mark.parametrize("change", [{"settings": {"HEYDAY_CLUSTER": "staging"}}, {"secrets": {"version": "2"}}])
def test_changed_settings_replace_the_nodes(change: Document) -> None:
    """A pod reads its settings once. Without a change of its template it would keep the old ones."""
    assert digest(render()) == digest(render())
    assert digest(render(change)) != digest(render())


@pytest.mark.parametrize(
    "values",
    [
        {"settings": {"HEYDAY_DRAIN_WITHIN": 30}},
        {"settings": {"EMAIL_RATE": "20/s"}},
        {"nodes": {"minimum": 3}},
        {"image": {"digest": "latest"}},
    ],
    ids=str,
)
def test_a_mistake_in_the_values_is_refused(values: Document) -> None:
    """Without a schema, Helm ignores a misspelt value."""
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema(values)


def test_the_settings_are_those_of_the_overlay_and_make_a_node() -> None:
    """A misspelt variable has no effect, and no error shows it."""
    needed = {
        "DATABASE_URL": "postgresql://db/heyday",
        "REDIS_URL": "redis://redis",
        "EMAIL_URL": "https://e.example.com",
    }

    assert VALUES["settings"] == production()
    assert VALUES["settings"].keys() - settings() == set()
    assert read(
        VALUES["settings"] | {f"HEYDAY_{name}": one for name, one in needed.items()} | {"HEYDAY_API_KEYS": "k" * 16}
    )


def test_the_chart_has_the_version_of_heyday() -> None:
    """Without a tag in the values, the version of the chart names the image."""
    (chart,) = load(CHART / "Chart.yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (overlay,) = load(ROOT / "deploy" / "kubernetes" / "production" / "kustomization.yaml")

    assert {chart["version"], chart["appVersion"], overlay["images"][0]["newTag"]} == {project["version"]}


def test_a_package_has_the_files_and_no_secrets(tmp_path: Path) -> None:
    """Links lead out of the folder of the chart, and beside the manifests are the secrets of the overlay."""
    package = helm.package(str(CHART), destination=str(tmp_path))

    with tarfile.open(package) as archive:
        names = archive.getnames()
    assert {"heyday/files/base/node.yaml", "heyday/files/alerts/heyday.rules.yml", "heyday/files/ingress.yaml"} <= {
        *names
    }
    assert [name for name in names if "secret" in name or "test" in name] == []
