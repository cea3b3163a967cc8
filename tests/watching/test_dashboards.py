"""The dashboards: Grafana can load them, every panel asks a question, and every query is one that can be answered."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.files import FOLDER, contents
from grafana.queries import Query, all_queries, boards, panels_of
from tests.docs.test_documents import declared, scraped_name
from tests.watching.programs import Programs
from tests.watching.test_alerts import rules

FILES = sorted(FOLDER.glob("*.json"))
OF_PROMETHEUS = {"up", "ALERTS"}
OF_THE_PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
}
ONLY_FOR_OTHERS = {"stream_pending"}
"""Declared, and on no dashboard: the same by consumer says more."""


def metrics_of(expression: str) -> set[str]:
    """The names in front of selectors, without what histograms add to them."""
    names = re.findall(r"([a-zA-Z_]\w*)\{", expression)
    return {re.sub(r"(_seconds)_(bucket|count|sum)$", r"\1", name) for name in names}


def missing(asked: Any, answered: Any, path: str = "") -> list[str]:
    """What is in the first and not, or differently, in the second."""
    if isinstance(asked, dict) and isinstance(answered, dict):
        return [
            one
            for key, value in asked.items()
            for one in (missing(value, answered[key], f"{path}.{key}") if key in answered else [f"{path}.{key}"])
        ]
    if isinstance(asked, list) and isinstance(answered, list) and len(asked) == len(answered):
        return [
            one for number, value in enumerate(asked) for one in missing(value, answered[number], f"{path}.{number}")
        ]
    return [] if asked == answered else [path]


def test_the_files_are_what_their_source_says() -> None:
    """After a change to `grafana/boards`: python -m grafana."""
    assert {file: file.read_text(encoding="utf-8") for file in FILES} == contents()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_grafana_knows_every_field(file: Path) -> None:
    """Its published models drop what they do not know: a misspelt option would do nothing."""
    register_default_plugins()
    board = json.loads(file.read_text(encoding="utf-8"))

    known = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))

    assert missing(board, known) == []


@pytest.mark.parametrize("name", boards())
def test_every_panel_asks_a_question_and_says_how_to_read_the_answer(name: str) -> None:
    """A panel that answers nothing is in the way of those that do."""
    panels = panels_of(boards()[name])

    for panel in panels:
        assert panel["title"].endswith("?"), panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
    assert [title for title, count in Counter(panel["title"] for panel in panels).items() if count > 1] == []


@pytest.mark.parametrize("name", boards())
def test_no_panel_lies_on_another_or_beyond_the_edge(name: str) -> None:
    """Grafana would move them, and the picture would not be the one that was meant."""
    taken: Counter[tuple[int, int]] = Counter()
    for panel in boards()[name]["panels"]:
        at = panel["gridPos"]
        taken.update((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"]))

    assert max(taken.values()) == 1
    assert max(x for x, _ in taken) < 24


@pytest.mark.parametrize("name", boards())
def test_the_nodes_can_be_chosen_and_where_greetings_are_shown_the_occasion(name: str) -> None:
    """On call one looks for the node, or the occasion, that differs."""
    board = boards()[name]
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set(
        re.findall(
            r"\$([a-z]\w*)", " ".join(query.expression for query in all_queries() if query.dashboard == board["title"])
        )
    )

    assert variables == used | {"source", "node"}
    assert ("occasion" in variables) == (name in ("message_processing", "error_tracking"))


def test_every_query_uses_metrics_that_are_declared() -> None:
    """One that does not exist shows an empty panel, which looks like calm."""
    names = {scraped_name(metric) for metric in declared()} | OF_PROMETHEUS | OF_THE_PROCESS
    recorded = {rule["record"] for rule in rules() if "record" in rule}

    unknown = {name for query in all_queries() for name in metrics_of(query.expression) if name not in names}
    assert unknown == set()
    assert {name for query in all_queries() for name in re.findall(r"heyday:[\w:]+", query.expression)} <= recorded


def test_every_metric_is_on_a_dashboard() -> None:
    """One that nobody looks at need not be measured."""
    shown = {name for query in all_queries() for name in metrics_of(query.expression)}

    assert {scraped_name(metric) for metric in declared()} - shown == ONLY_FOR_OTHERS


def test_prometheus_can_read_every_query(programs: Programs, tmp_path: Path) -> None:
    """A query with a mistake in it is an empty panel, too."""
    expressions = sorted({query.filled(lately="1m", shown="1h") for query in all_queries()})
    content = {
        "groups": [
            {
                "name": "queries",
                "rules": [{"record": f"q:{number}", "expr": text} for number, text in enumerate(expressions)],
            }
        ]
    }
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")

    done = subprocess.run(
        [programs.promtool, "check", "rules", file], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(expressions) > 80


@pytest.mark.parametrize(
    "query",
    [one for one in all_queries() if one.unit == "s" and "histogram_quantile" in one.expression],
    ids=lambda one: one.panel,
)
def test_a_percentile_is_of_all_nodes_together(query: Query) -> None:
    """Percentiles cannot be added up or averaged; buckets can."""
    assert re.search(r"histogram_quantile\([\d.]+, sum by \(le[\w, ]*\)", query.expression)


def test_the_provisioning_leads_to_the_files() -> None:
    """Grafana says nothing when a folder is empty."""
    folder = FOLDER.parent / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))["datasources"][0]
    provider = yaml.safe_load((folder / "dashboards" / "heyday.yml").read_text(encoding="utf-8"))["providers"][0]

    chosen = {board["templating"]["list"][0]["current"]["value"] for board in boards().values()}
    assert chosen == {source["uid"]}
    assert provider["type"] == "file"
    assert len(FILES) == 5
