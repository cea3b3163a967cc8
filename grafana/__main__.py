"""Writes the dashboard files. Run `python -m grafana` after a change in `grafana/boards`."""

from __future__ import annotations

from grafana.files import contents

for file, content in contents().items():
    file.write_text(content, encoding="utf-8")
