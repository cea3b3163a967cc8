"""Every path and module of the repository that a file names exists: in documents, comments, docstrings and scripts."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

from tests.docs.test_documents import DOCUMENTS, ROOT, name_of, text_of

FOLDERS = "actors|service|schema|tests|docs|deploy|loadtest|grafana"
PATH = re.compile(
    rf"(?<![\w.@/$<{{}}-])((?:{FOLDERS})/[\w./-]*\w\.(?:py|md|sql|lua|yml|yaml|json|sh|svg|png|conf|lock))\b"
)
FOLDER = re.compile(rf"(?<![\w.@/$<{{}}-])((?:{FOLDERS})(?:/[\w-]+)+)/?(?![\w./*{{-])")
MODULE = re.compile(r"`((?:actors|service|loadtest)(?:\.[a-z_]+)+)(?:\(\))?`")

NOT_IN_THE_REPOSITORY = {"docs/favicon-32x32.png"}
"""Paths of the API that look like files of the repository."""

KINDS = {".py", ".md", ".sql", ".lua", ".yml", ".yaml", ".sh", ".toml", ".conf", ".service", ".env", ""}


def files() -> list[Path]:
    """Every text file of the repository in which a path can be named."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.suffix in KINDS and path.is_file()]


def test_every_file_that_is_named_anywhere_exists() -> None:
    """A reader opens the file that a comment names. A moved module leaves wrong names behind."""
    named = {
        (path, name_of(file))
        for file in files()
        for path in PATH.findall(file.read_text(encoding="utf-8"))
        if path not in NOT_IN_THE_REPOSITORY
    }

    assert len({path for path, _ in named}) > 120
    assert sorted((path, file) for path, file in named if not (ROOT / path).exists()) == []


def test_every_folder_and_module_that_a_document_names_exists() -> None:
    """A renamed folder leaves wrong names behind."""
    missing = []
    for document in DOCUMENTS:
        text = text_of(document)
        missing += [
            (path, name_of(document))
            for path in FOLDER.findall(text)
            if not (ROOT / path).exists() and not list(ROOT.glob(f"{path}.*"))
        ]
        for name in MODULE.findall(text):
            parts = name.split(".")
            found = (ROOT / "/".join(parts)).exists() or (ROOT / "/".join(parts)).with_suffix(".py").exists()
            if not found and importlib.util.find_spec(".".join(parts[:-1])) is None:
                missing.append((name, name_of(document)))

    assert missing == []
