"""The alerts as objects that the Prometheus operator reads. The spec of each is a file of `deploy/alerts`."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

_DEPLOY = Path(__file__).parents[1] / "deploy"

FILE = _DEPLOY / "kubernetes" / "monitoring" / "alerts.yaml"

RULES = {"heyday": _DEPLOY / "alerts" / "heyday.rules.yml", "heyday-servers": _DEPLOY / "alerts" / "servers.rules.yml"}
"""The name of each object, and its file."""


def content() -> str:
    """Return the content of FILE."""
    return "---\n".join(
        "# Written by `python -m grafana`.\n"
        "apiVersion: monitoring.coreos.com/v1\n"
        "kind: PrometheusRule\n"
        f"metadata:\n  name: {name}\nspec:\n{indent(file.read_text(encoding='utf-8'), '  ')}"
        for name, file in RULES.items()
    )
