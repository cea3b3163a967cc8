"""No SQL is put together from what somebody sent: statements are files or constants, and values are parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

MADE_UP = {
    # Names of databases of tests and demonstrations, made by us and quoted.
    ("service/embedded/postgres.py", "create_database"),
    # The body of the demo's clock: two numbers, formatted as numbers.
    ("service/embedded/clock.py", "run_clock"),
}
"""Functions whose statements are put together, each with its reason; a new one has to be argued for here."""

TAKES_SQL = {"execute", "executemany", "fetch", "fetchrow", "fetchval", "row", "value", "prepare", "cursor"}
"""Methods of connections, pools and our own Database whose first argument is a statement."""


def shipped() -> Iterator[Path]:
    for package in ("actors", "service", "schema"):
        yield from sorted((ROOT / package).rglob("*.py"))


def is_put_together(argument: ast.expr) -> bool:
    """Whether a string is made at run time: an f-string with a hole, a sum, a `%`, `.format`, `.join` or `.replace`."""
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
    """Function and line of each statement that is made at run time."""
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
                case ast.Call(func=ast.Attribute(attr=method), args=[first, *_]) if method in TAKES_SQL:
                    if is_put_together(first) or (isinstance(first, ast.Name) and first.id in made):
                        yield function.name, node.lineno


def test_statements_are_not_put_together_from_values() -> None:
    """The oldest hole there is; a parameter cannot be escaped from."""
    found = {
        (path.relative_to(ROOT).as_posix(), function)
        for path in shipped()
        for function, _ in put_together(ast.parse(path.read_text(encoding="utf-8")))
    }

    assert found == MADE_UP


def test_a_statement_that_is_put_together_is_noticed() -> None:
    """A check that notices nothing would pass for ever."""
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
    """Dynamic SQL in the database: only identifiers and numbers, by format's own quoting."""
    statements = [
        line.strip()
        for path in sorted((ROOT / "schema").glob("*.sql"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith("execute ")
    ]

    assert statements
    assert [one for one in statements if not one.startswith("execute format('") or "||" in one] == []
