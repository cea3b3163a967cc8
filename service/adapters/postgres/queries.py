"""Loads SQL from the .sql files beside the modules that run it. Each query is a block under a `-- name:` line.

The text between two such lines is one statement. Its comments are kept, so that pg_stat_activity shows them. A block
under a `-- fragment:` line is text that several queries of the file share. `{{its_name}}` inserts it.
"""

from __future__ import annotations

import re
from importlib import resources
from types import SimpleNamespace

_BLOCK = re.compile(r"^-- (name|fragment): ([a-z_]+)\n", re.MULTILINE)

_USE = re.compile(r"\{\{([a-z_]+)\}\}")


def load(file: str, package: str = __package__) -> SimpleNamespace:
    """Return the queries of `file` (for example "messages.sql") in `package`, as attributes of a namespace.

    Raises ValueError when a name is there twice, and KeyError when a query uses a fragment that the file does not have.
    """
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    _, *parts = _BLOCK.split(text)
    blocks = list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
    if len({name for _, name, _ in blocks}) != len(blocks):
        raise ValueError(f"{file} names a query twice")
    fragments = {name: body.strip() for kind, name, body in blocks if kind == "fragment"}
    queries = {name: body.strip() for kind, name, body in blocks if kind == "name"}
    # The name is at the beginning, where pg_stat_activity and our metrics look, and at the end: PostgreSQL 18 keeps no
    # comment before a statement in pg_stat_statements.
    return SimpleNamespace(
        **{
            name: f"-- {name}\n{_USE.sub(lambda use: fragments[use[1]], body)}\n-- {name}"
            for name, body in queries.items()
        }
    )
