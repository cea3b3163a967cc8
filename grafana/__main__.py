"""Writes the dashboards, and the alerts for Kubernetes.

Run `python -m grafana` after a change in `grafana/boards` or `deploy/alerts`.
"""

from __future__ import annotations

from grafana import kubernetes
from grafana.files import contents

for file, content in {**contents(), kubernetes.FILE: kubernetes.content()}.items():
    file.write_text(content, encoding="utf-8")
