"""The files that help contributors match the repository: hooks, owners, project URLs and the indexes of documents."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import Any

from ruamel.yaml import YAML

from tests.docs.test_documents import ROOT, rows_of, text_of


def parsed(file: str) -> Any:
    return YAML(typ="safe").load(ROOT / file)


def test_pre_commit_runs_the_commands_of_make_lint() -> None:
    """With a missing hook, a commit passes that CI refuses."""
    recipe = text_of("Makefile").partition("\nlint:")[2].partition("\n\n")[0].splitlines()[1:]
    linted = [line.strip().replace("$(BIN)", ".venv/bin").replace(" $(MYPY)", "") for line in recipe]

    hooks = [hook for repository in parsed(".pre-commit-config.yaml")["repos"] for hook in repository["hooks"]]

    assert [hook["entry"] for hook in hooks] == linted
    assert {hook["language"] for hook in hooks} == {"system"}
    assert len(linted) >= 5


def test_the_example_of_code_owners_names_paths_that_exist() -> None:
    """A rule for a folder that was moved protects nothing."""
    lines = [line for line in text_of(".github/CODEOWNERS.example").splitlines() if line and not line.startswith("#")]
    paths = [line.split()[0] for line in lines]

    assert paths[0] == "*"
    assert [path for path in paths[1:] if not (ROOT / path.strip("/")).exists()] == []


def test_every_project_url_leads_to_a_page_of_the_repository() -> None:
    """Package indexes show them to every user."""
    urls = tomllib.loads(text_of("pyproject.toml"))["project"]["urls"]

    assert {"Homepage", "Documentation", "Changelog", "Issues", "Source"} <= urls.keys()
    pages = [url.partition("/blob/main/")[2] for url in urls.values() if "/blob/" in url]
    assert len(pages) == 2
    assert [page for page in pages if not (ROOT / page).is_file()] == []
    assert {"/".join(url.split("/")[:5]) for url in urls.values()} == {"https://github.com/OWNER/heyday"}
    assert "github.com/OWNER/heyday" in text_of(".github/workflows/release.yml")


def test_every_issue_form_has_fields_with_labels() -> None:
    """GitHub ignores a form that it cannot read."""
    forms = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*_*.yml"))

    assert len(forms) == 2
    for form in forms:
        found = parsed(str(form.relative_to(ROOT)))
        assert {"name", "description", "body"} <= found.keys()
        fields = [one for one in found["body"] if one["type"] != "markdown"]
        assert all(one["attributes"]["label"] for one in fields)
        assert len({one["id"] for one in fields}) == len(fields) >= 3


def test_every_decision_has_a_status_and_a_date_and_is_in_the_index() -> None:
    """Without a status, readers may take an old decision for a valid one."""
    pages = sorted((ROOT / "docs/decisions").glob("0*.md"))
    written = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        title = re.match(r"# (\d{4}): (.+)\n\nStatus: (\w[^.]*)\. Date: (\d{4}-\d\d-\d\d)\.\n", text)
        assert title is not None, page.name
        assert page.name.startswith(title[1])
        written.append([f"[{title[1]}]({page.name})", title[2], title[3], title[4]])

    assert len({page.name[:4] for page in pages}) == len(pages)
    assert [row for row in rows_of("docs/decisions/README.md") if row[0].startswith("[0")] == written


def test_every_page_is_in_the_index_of_documents() -> None:
    """Readers do not find a page that the index lacks."""
    index = text_of("docs/README.md")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]

    listed = set(re.findall(r"\]\(([^)#]+\.md)\)", index))
    missing = [page for page in pages if page not in listed and page != "README.md" and "decisions/0" not in page]
    assert missing == []


def test_the_editor_configuration_has_the_line_length_of_the_linter() -> None:
    """Otherwise the editor wraps where the linter does not."""
    length = tomllib.loads(text_of("pyproject.toml"))["tool"]["ruff"]["line-length"]

    assert f"max_line_length = {length}" in text_of(".editorconfig")


def test_the_commands_of_a_hook_can_be_run_as_they_stand() -> None:
    """pre-commit splits the entry itself and uses no shell."""
    for repository in parsed(".pre-commit-config.yaml")["repos"]:
        for hook in repository["hooks"]:
            assert (ROOT / shlex.split(hook["entry"])[0]).is_file(), hook["id"]
