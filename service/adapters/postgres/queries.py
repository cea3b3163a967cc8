"""Loads SQL from the .sql files beside the modules that run it: each query a block under a `-- name:` line.

The text between two such lines is one statement; comments above and inside it stay with it, so that they are
seen in pg_stat_activity too.
"""

from __future__ import annotations

import re
from importlib import resources
from types import SimpleNamespace

_NAME = re.compile(r"^-- name: ([a-z_]+)\n", re.MULTILINE)


def load(file: str, package: str = __package__) -> SimpleNamespace:
    """The queries of `file` (for example "messages.sql"), which lies in `package`, as attributes of a namespace."""
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{file} names a query twice")
    # Named at its begin, where pg_stat_activity and our metrics look, and at its end: PostgreSQL 18 keeps no comment
    # before a statement in pg_stat_statements.
    named = {name: f"-- {name}\n{body.strip()}\n-- {name}" for name, body in zip(names, bodies, strict=True)}
    return SimpleNamespace(**named)
