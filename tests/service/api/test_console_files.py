"""The files of the console are small and local, and the vendored ones are exactly those of their packages."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from service.api.routes.console import console_files
from service.ports import AuditAction

FOLDER = Path("service/api/console")
VENDOR = FOLDER / "vendor"
SOURCES = json.loads((VENDOR / "SOURCES.json").read_text(encoding="utf-8"))
SCRIPTS = sorted(path for path in FOLDER.rglob("*") if path.suffix in {".js", ".mjs"})

MAX_SCRIPTS, MAX_LOADED, MAX_STYLES = 31_500, 39_550, 4_600
"""Bytes as they are served, compressed by gzip: of all scripts in one stream, of all scripts one by one, as a browser
loads them, and of the style sheet."""


def test_the_scripts_and_the_styles_stay_small() -> None:
    served = console_files()
    scripts = [served[str(path.relative_to(FOLDER))] for path in SCRIPTS]

    assert len(gzip.compress(b"".join(one.body for one in scripts), mtime=0)) <= MAX_SCRIPTS
    assert sum(len(one.zipped) for one in scripts) <= MAX_LOADED
    assert len(served["console.css"].zipped) <= MAX_STYLES


def test_scripts_are_served_without_their_lines_of_comments() -> None:
    """All other lines are served as they are, and have the same numbers: an error in a browser names the right line."""
    for path in SCRIPTS:
        lines = path.read_text(encoding="utf-8").split("\n")
        served = console_files()[str(path.relative_to(FOLDER))].body.decode().split("\n")

        assert served == ["" if line.lstrip().startswith("//") else line for line in lines]


def test_every_vendored_script_is_listed_with_its_licence_and_checksum() -> None:
    vendored = {path.name for path in VENDOR.glob("*.mjs")}

    assert vendored == SOURCES.keys()
    for name, source in SOURCES.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == source["sha256"], name
        assert (VENDOR / f"{source['package']}.LICENSE").is_file()


def test_every_import_names_a_file_of_the_console() -> None:
    for path in SCRIPTS:
        script = path.read_text(encoding="utf-8")
        for name in re.findall(r"^(?:import|export \*)[^'\"`;]*['\"]([^'\"]+)['\"]", script, re.MULTILINE):
            assert name.startswith("."), f"{path} imports {name}, which no browser finds"
            assert (path.parent / name).is_file(), f"{path} imports {name}"


def test_the_page_names_only_files_of_the_console() -> None:
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert {name for name in named if name != "docs"} == {name for name in named if name.startswith("console/")}
    for name in named:
        assert name == "docs" or (FOLDER.parent / name).is_file(), name


def test_the_page_asks_for_every_script_at_once() -> None:
    """Otherwise a browser loads one import after the other, and a page appears later."""
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'(?:rel="modulepreload" href|type="module" src)="console/([^"]+)"', page)

    assert sorted(named) == sorted(str(path.relative_to(FOLDER)) for path in SCRIPTS)


def test_no_script_makes_markup_from_text() -> None:
    """Names are shown as text only. No script uses the functions that turn text into markup or code."""
    for path in SCRIPTS:
        if path.parent != VENDOR:
            text = path.read_text(encoding="utf-8")
            found = re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
            assert found is None, f"{path}: {found}"


def test_the_audit_log_can_be_filtered_by_every_action() -> None:
    script = (FOLDER / "pages/holds.js").read_text(encoding="utf-8")

    assert re.findall(r"^  '(\w+\.\w+)',$", script, re.MULTILINE) == [str(one) for one in AuditAction]


@pytest.mark.parametrize("package", sorted({source["package"] for source in SOURCES.values()}))
def test_the_vendored_scripts_are_those_of_the_npm_package(package: str, tmp_path: Path) -> None:
    """Without npm and its registry, the checksums above hold the files to those compared before."""
    sources = {name: source for name, source in SOURCES.items() if source["package"] == package}
    packed = _packed(package, {source["version"] for source in sources.values()}, tmp_path)
    if packed is None:
        return

    with tarfile.open(fileobj=io.BytesIO(packed.read_bytes())) as archive:
        for name, source in sources.items():
            original = _member(archive, f"package/{source['path']}")
            for before, after in [source["replaced"]] if "replaced" in source else []:
                assert original.count(before) == 1
                original = original.replace(before, after)

            assert (VENDOR / name).read_text(encoding="utf-8") == original
            assert json.loads(_member(archive, "package/package.json"))["license"] == source["license"]


def _packed(package: str, versions: set[str], folder: Path) -> Path | None:
    npm = shutil.which("npm")
    if npm is None:
        return None
    (version,) = versions
    try:
        done = subprocess.run(
            [npm, "pack", f"{package}@{version}", "--silent", "--fetch-retries=0", "--fetch-timeout=10000"],
            cwd=folder,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return next(folder.glob("*.tgz"), None) if done.returncode == 0 else None


def _member(archive: tarfile.TarFile, name: str) -> str:
    file = archive.extractfile(name)
    assert file is not None
    return file.read().decode()
