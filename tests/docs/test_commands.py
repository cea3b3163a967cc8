"""The commands that documents show: what they name exists, options included, and those that only look are run."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from actors.cli import _parser
from tests.docs.test_documents import DOCUMENTS, ROOT, name_of, text_of
from tests.node.harness import World

RUN = ("doctor", "preview", "explain", "redrive", "health", "migrate")
"""Commands that are run as they stand, with the documents' own arguments."""


class Command(NamedTuple):
    """A line that a reader may copy."""

    document: Path
    line: str


def shown() -> Iterator[Command]:
    """Every command of every document: lines of blocks, their continuations joined, and pieces within sentences."""
    for document in DOCUMENTS:
        text = text_of(document)
        blocks = [match[1] for match in re.finditer(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]
        text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        blocks += re.findall(r"((?:^(?: {4}|\t).*\n)+)", text, re.MULTILINE)
        for block in blocks:
            for line in re.sub(r"\\\n", " ", block).splitlines():
                yield Command(document, line.strip().removeprefix("$ "))
        prose = re.sub(r"^(?: {4}|\t).*$", "", text, flags=re.MULTILINE)
        yield from (Command(document, " ".join(span.split())) for span in re.findall(r"`([^`]+)`", prose))


def told(pattern: str) -> list[tuple[Command, str, list[str]]]:
    """Each command that fits: with its first group, and the words that follow it up to the end of the command."""
    found = []
    for one in shown():
        for match in re.finditer(pattern, one.line):
            rest = re.split(r"\s#|\s[|;&<>]|&&", one.line[match.end() :], maxsplit=1)[0]
            found.append((one, match[1], rest.split()))
    return found


def options(words: list[str]) -> list[str]:
    return [word.partition("=")[0].rstrip(",.)\"'") for word in words if word.startswith("--")]


@cache
def help_of(command: str) -> str:
    """What `heyday COMMAND --help` says; nothing if there is no such command."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        _parser([command]).parse_args([command, "--help"])
    return said.getvalue()


@cache
def help_of_module(module: str) -> str:
    asked = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return asked.stdout


def lacking(text: str, words: list[str]) -> list[str]:
    """The options that a help does not have."""
    return [option for option in options(words) if not re.search(rf"(?<![\w-]){option}(?![\w-])", text)]


def test_every_command_of_heyday_exists_with_its_options() -> None:
    """An option that was renamed is found out on a bad morning."""
    commands = told(r"^(?:\w+=\S+ )*(?:.*[|] |docker exec \S+ |\S*/)?heyday ([a-z][a-z-]+)(?= |$)")

    assert len(commands) > 60
    wrong = [
        (name_of(one.document), one.line)
        for one, name, words in commands
        if not help_of(name) or lacking(help_of(name), words)
    ]
    assert wrong == []


def test_every_target_and_module_exists_with_its_options() -> None:
    """The same of what developers type."""
    targets = set(re.findall(r"^([a-z]+):.*## ", text_of("Makefile"), re.MULTILINE))
    made = told(r"^make ([a-z]+)(?= |$)")
    modules = told(r"\bpython3? -m ((?:loadtest|tests|grafana)[\w.]*)")

    assert len(made) > 8
    assert len(modules) > 12
    assert [(name_of(one.document), one.line) for one, target, _ in made if target not in targets] == []
    assert [
        (name_of(one.document), one.line)
        for one, module, words in modules
        if importlib.util.find_spec(module) is None or (options(words) and lacking(help_of_module(module), words))
    ] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_script_and_file_that_a_command_names_exists(document: Path) -> None:
    """What is copied to other places, or made by a command, is not of the repository."""
    pattern = r"(?<![\w./@-])((?:deploy|loadtest|grafana)/[\w./@-]+|Dockerfile\.prod|docker-compose[\w.]*yml)"
    lines = [one.line for one in shown() if one.document == document]
    named = {path.rstrip(".,") for line in lines for path in re.findall(pattern, line)}

    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def requests() -> Iterator[tuple[Command, str, str, list[str]]]:
    """Each request by curl to a node: its method, path, and the names of its query."""
    for one, address, _ in told(r"\bcurl .*?((?:https?://[\w.:]+|\$HEYDAY)/[^\s'\"`]*)"):
        path, _, query = re.sub(r"^(https?://[^/]+|\$HEYDAY)", "", address).partition("?")
        method = re.search(r"(?:-X|--request) ?([A-Z]+)", one.line)
        sends = re.search(r"(?:^| )(?:-d|--data[\w-]*|--json|-T)(?: |$)", one.line)
        yield one, (method[1] if method else "POST" if sends else "GET").lower(), path, re.findall(r"(\w+)=", query)


async def test_every_request_is_one_that_a_node_answers(small_world: World) -> None:
    """Routes and parameters are those of its own document."""
    node = await small_world.node()
    _, document = await node.get("/openapi.json")
    paths: dict[str, Any] = document["paths"]

    wrong = []
    for one, method, path, query in requests():
        if not path.startswith(("/api/", "/health", "/metrics")):
            continue
        fitting = [
            operations[method]
            for template, operations in paths.items()
            if method in operations and re.fullmatch(re.sub(r"\{\w+\}", "[^/:]+", template), path)
        ]
        known = {parameter["name"] for operation in fitting for parameter in operation.get("parameters", [])}
        if not fitting or not known.issuperset(query):
            wrong.append((name_of(one.document), method, path, query))

    assert wrong == []


def test_every_request_of_an_operator_shows_a_key() -> None:
    """Nodes that others reach have keys: without one each of these is refused, at night."""
    operators = {"docs/OPERATIONAL_RUNBOOK.md", "docs/DEPLOYMENT_GUIDE.md", "docs/TROUBLESHOOTING_GUIDE.md"}
    asked = [one for one, _, path, _ in requests() if path.startswith("/api/") and name_of(one.document) in operators]

    assert len(asked) >= 4
    assert [one.line for one in asked if "Authorization: Bearer $KEY" not in one.line] == []


def looking() -> list[Command]:
    """What can be run as it stands, on a node whose user is Ada."""
    places = {
        "README.md", "docs/OPERATIONAL_RUNBOOK.md", "docs/DEPLOYMENT_GUIDE.md", "docs/TROUBLESHOOTING_GUIDE.md",
        "docs/DEPLOYMENT_CHECKLIST.md", "docs/how-to/check_with_doctor.md",
    }  # fmt: skip
    return list(
        {
            one.line: one
            for one in shown()
            if name_of(one.document) in places
            and re.match(rf"heyday ({'|'.join(RUN)})\b|curl ", one.line)
            and one.line not in ("heyday explain", "heyday redrive")  # which a sentence speaks of
            # A restored database is adopted by tests/node/test_restored.py; the README's user is made below.
            and not re.search(r"…|<id>|[A-Z]{4,}|--adopt|/users", one.line.replace("POST", "").replace("KEY", ""))
        }.values()
    )


async def test_every_command_that_looks_succeeds(small_world: World, tmp_path: Path) -> None:
    """With real curl and a real node that wants a key, from where the documents expect them."""
    node = await small_world.node(API_KEYS="a-key")
    port = (await node.logged("api_listening"))["port"]
    await node.logged("node_entered")
    ada = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com", "timezone": "Europe/London"}
    await node.call("POST", "/api/v1/users", json=ada, headers={"Authorization": "Bearer a-key"})
    (tmp_path / "accepted.csv").write_text("key\n")
    environment = {
        **small_world.environment(API_KEYS="a-key", BIND=f"127.0.0.1:{port}"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "KEY": "a-key",
        "no_proxy": "*",
    }

    async def run(one: Command) -> tuple[str, int | None, str] | None:
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", one.line.replace("127.0.0.1:8080", f"127.0.0.1:{port}")),
            cwd=tmp_path,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
        refused = '"status":4' in said or '"status":5' in said
        return (one.line, process.returncode, said) if process.returncode or refused else None

    commands = looking()
    failed = [result for one in commands if (result := await run(one))]

    assert failed == []
    assert len(commands) >= 20
