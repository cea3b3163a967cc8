"""Checks the commands in documents: names and options exist, and read-only commands succeed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from actors.commands.registry import COMMANDS, parser_for
from tests.docs.commands import help_of_module
from tests.docs.test_documents import DOCUMENTS, ROOT, name_of, rows_of, text_of
from tests.forks import folder_of_heyday
from tests.node.harness import NeverCame, World, eventually

RUN = ("doctor", "preview", "explain", "redrive", "health", "migrate", "call")
"""Commands that the test runs with the documents' own arguments."""


class Command(NamedTuple):
    """A line that a reader may copy."""

    document: Path
    line: str


@cache
def shown() -> tuple[Command, ...]:
    """Return every command of every document: lines of code blocks, with continuations joined, and inline code."""
    return tuple(_shown())


def _shown() -> Iterator[Command]:
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
    """Return each command that matches, its first group, and the remaining words of the command."""
    found = []
    for one in shown():
        for match in re.finditer(pattern, one.line):
            rest = re.split(r"\s#|\s[|;&<>]|&&", one.line[match.end() :], maxsplit=1)[0]
            found.append((one, match[1], rest.split()))
    return found


def options(words: list[str]) -> list[str]:
    return [word.partition("=")[0].rstrip(",.)\"'") for word in words if word.startswith("--")]


@cache
def help_of(command: str, *action: str) -> str:
    """Return the output of `heyday COMMAND [ACTION] --help`; empty if there is no such command or action."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        parser_for([command]).parse_args([command, *action, "--help"])
    return said.getvalue()


def lacking(text: str, words: list[str]) -> list[str]:
    """Return the options that a help text lacks."""
    return [option for option in options(words) if not re.search(rf"(?<![\w-]){option}(?![\w-])", text)]


def test_every_command_of_heyday_exists_with_its_options() -> None:
    """A document with a renamed option fails its reader in an emergency."""
    commands = told(r"^(?:\w+=\S+ )*(?:.*[|] |docker exec \S+ |\S*/)?heyday ([a-z][a-z-]+)(?= |$)")

    assert len(commands) > 60
    wrong = [
        (name_of(one.document), one.line)
        for one, name, words in commands
        if not help_of(name) or lacking(help_of(name, *[word for word in words[:1] if word[0] != "-"]), words)
    ]
    assert wrong == []


def test_every_target_and_module_exists_with_its_options() -> None:
    """The same for commands of developers."""
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
    """Files that are copied elsewhere, or made by a command, are not checked."""
    pattern = r"(?<![\w./@-])((?:deploy|loadtest|grafana)/[\w./@-]+|Dockerfile\.prod|docker-compose[\w.]*yml)"
    lines = [one.line for one in shown() if one.document == document]
    named = {path.rstrip(".,") for line in lines for path in re.findall(pattern, line)}

    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def requests() -> Iterator[tuple[Command, str, str, list[str]]]:
    """Yield each curl request to a node: method, path, and names of query parameters."""
    for one, address, _ in told(r"\bcurl .*?((?:https?://[\w.:]+|\$HEYDAY)/[^\s'\"`]*)"):
        path, _, query = re.sub(r"^(https?://[^/]+|\$HEYDAY)", "", address).partition("?")
        method = re.search(r"(?:-X|--request) ?([A-Z]+)", one.line)
        sends = re.search(r"(?:^| )(?:-d|--data[\w-]*|--json|-T)(?: |$)", one.line)
        yield one, (method[1] if method else "POST" if sends else "GET").lower(), path, re.findall(r"(\w+)=", query)


async def test_every_request_is_one_that_a_node_answers(small_world: World) -> None:
    """Routes and parameters must be in the node's OpenAPI document."""
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


def test_the_runbook_needs_no_program_that_a_container_of_a_node_lacks() -> None:
    """The image has no curl, Redis asks for TLS and a password, and the proxy hides the detailed health."""
    foreign = re.compile(r"\b(curl|redis-cli|rabbitmqctl|psql)\b")
    alerts = text_of("docs/OPERATIONAL_RUNBOOK.md").partition("## Deploy a new version")[0]

    blocks = re.findall(r"([^\n]*)\n\n((?:^    .*\n)+)", alerts, re.MULTILINE)
    assert len(blocks) > 8
    assert [
        block
        for before, block in blocks
        if foreign.search(block) and not before.endswith(("where RabbitMQ runs:", "where PostgreSQL runs:"))
    ] == []


def test_the_readme_has_a_row_for_every_command() -> None:
    """The table under "Use it" is where a reader looks for a command."""
    listed = [name for row in rows_of("README.md") for name in re.findall(r"`heyday ([a-z-]+)", row[0])]

    assert sorted(listed) == sorted(COMMANDS)


def looking() -> list[Command]:
    """Return the commands that run unchanged on a node with the user Ada."""
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
            and one.line not in ("heyday call", "heyday explain", "heyday redrive")  # mentioned in a sentence
            # tests/node/test_restored.py adopts a restored database; the README's user is created below.
            # A file in the memory of a container is on no other machine.
            and not re.search(
                r"…|<id>|[A-Z]{4,}|--adopt|/users|/dev/shm", one.line.replace("POST", "").replace("KEY", "")
            )
        }.values()
    )


async def test_every_command_that_looks_succeeds(small_world: World, tmp_path: Path) -> None:
    """With real curl and a real node that requires a key."""
    node = await small_world.node(API_KEYS="a-key")
    port = (await node.logged("api_listening"))["port"]
    await node.logged("node_entered")
    await node.logged("planning_announced")

    async def planned() -> bool:
        return bool(await small_world.value("select count(*) = 0 from plan_ranges"))

    await eventually(planned)  # before, `heyday doctor` reports that the node is not done
    ada = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com", "timezone": "Europe/London"}
    await node.call("POST", "/api/v1/users", json=ada, headers={"Authorization": "Bearer a-key"})
    (tmp_path / "accepted.csv").write_text("key\n")
    environment = {
        **small_world.environment(API_KEYS="a-key", BIND=f"127.0.0.1:{port}"),
        "PATH": f"{folder_of_heyday()}:{Path(sys.executable).parent}:{os.environ['PATH']}",
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

    async def run_patiently(one: Command) -> tuple[str, int | None, str] | None:
        """A check of the node's health that is slow on a busy machine fails, so health is asked for again."""
        results = [await run(one)]

        async def succeeded() -> bool:
            results.append(await run(one))
            return results[-1] is None

        if results[-1] is not None and re.match(r"heyday health\b|curl .*/health", one.line):
            with contextlib.suppress(NeverCame):
                await eventually(succeeded, within=30, every=1)
        return results[-1]

    commands = looking()
    failed = [result for one in commands if (result := await run_patiently(one))]

    assert failed == []
    assert len(commands) >= 20
