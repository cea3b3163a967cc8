"""The demo's SQL, each query a block of figures.sql under a `-- name:` line."""

from __future__ import annotations

import re
from importlib import resources


def _load() -> dict[str, str]:
    text = resources.files(__package__).joinpath("figures.sql").read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- name: ([a-z_]+)\n", text, flags=re.MULTILINE)
    return {name: f"-- {name}\n{body.strip()}" for name, body in zip(parts[::2], parts[1::2], strict=True)}


QUERIES = _load()
