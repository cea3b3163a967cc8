"""Checks that no SQL is built from input: statements are files or constants, and values are parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

MADE_UP = {
    # Database names of tests and the demo, made by this project and quoted.
    ("actors/commands/sandbox/servers/postgres.py", "create_database"),
    # The body of the demo's clock: two numbers, formatted as numbers.
    ("actors/commands/sandbox/servers/clock.py", "run_clock"),
    # Names and definitions of indexes, from the files in schema/ and from the catalogue of PostgreSQL.
    ("service/adapters/postgres/indexes.py", "_build_on"),
    # A constant of the module: SET takes no parameters.
    ("service/adapters/postgres/indexes.py", "with_short_locks"),
    # A constant number; a pooler in transaction mode prepares nothing, so the statement has no parameters.
    ("service/adapters/postgres/migrations.py", "alone"),
    # Names of partitions, which match `(messages|attempts)_[0-9]{4}` in the catalog of PostgreSQL.
    ("service/adapters/postgres/years.py", "_rows"),
    ("service/adapters/postgres/years.py", "_detach"),
    # A constant of the module: SET takes no parameters.
    ("service/adapters/postgres/years.py", "opened_years"),
    # A dictionary of constants, and the number of the connection's process.
    ("service/adapters/postgres/session.py", "_prepare"),
}
"""Functions that build statements, each with its reason; a new one needs a reason here."""

TAKES_SQL = {"execute", "executemany", "fetch", "fetchrow", "fetchval", "row", "value", "prepare", "cursor"}
"""Methods of connections, pools and `Database` whose first argument is a statement."""


def shipped() -> Iterator[Path]:
    for package in ("actors", "service", "schema"):
        yield from sorted((ROOT / package).rglob("*.py"))


def is_put_together(argument: ast.expr) -> bool:
    """Return True if a string is made at run time: f-string, sum, `%`, `.format`, `.join` or `.replace`."""
    match argument:
        case ast.JoinedStr(values=values):
            return any(isinstance(value, ast.FormattedValue) for value in values)
        case ast.BinOp():
            return True
        case ast.Call(func=ast.Attribute(attr="format" | "join" | "replace" | "format_map")):
            return True
        case ast.IfExp(body=one, orelse=other):
            return is_put_together(one) or is_put_together(other)
    return False


def put_together(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Return function and line of each statement that is made at run time."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        made = {
            target.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and is_put_together(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(function):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="reader"))):
                    pass  # an Environment, whose `value` takes the name of a variable
                case ast.Call(func=ast.Attribute(attr=method), args=[first, *_]) if method in TAKES_SQL:
                    if is_put_together(first) or (isinstance(first, ast.Name) and first.id in made):
                        yield function.name, node.lineno


def test_statements_are_not_put_together_from_values() -> None:
    """SQL injection needs a statement built from values."""
    found = {
        (path.relative_to(ROOT).as_posix(), function)
        for path in shipped()
        for function, _ in put_together(ast.parse(path.read_text(encoding="utf-8")))
    }

    assert found == MADE_UP


def test_a_statement_that_is_put_together_is_noticed() -> None:
    """It shows that the test above can fail."""
    source = """
async def look(self, name):
    await self.connection.fetch(f"select * from users where email = '{name}'")
    query = "select * from users where email = '%s'" % name
    await self.connection.fetch(query)
    await self.connection.fetch("select " + name)
    await self.connection.fetch("select $1", name)
"""

    assert [line for _, line in put_together(ast.parse(source))] == [3, 5, 6]


def test_functions_of_the_schema_quote_the_names_that_they_put_in() -> None:
    """Dynamic SQL in the database may contain only identifiers and numbers, quoted by format()."""
    statements = [
        line.strip()
        for path in sorted((ROOT / "schema").glob("*.sql"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith("execute ")
    ]

    assert statements
    assert [one for one in statements if not one.startswith("execute format('") or "||" in one] == []
