"""The dashboards: Grafana can load them, every panel asks a question, and Prometheus can answer every query."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.files import FOLDER, contents
from grafana.queries import Query, all_queries, boards, choices, panels_of
from tests.docs.test_documents import declared, scraped_name
from tests.watching.programs import Programs
from tests.watching.test_alerts import rules
from tests.yaml_files import read_yaml

FILES = sorted(FOLDER.glob("*.json"))
SDK = "grafana_foundation_sdk."
OF_PROMETHEUS = {"up", "ALERTS"}
OF_THE_PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
}
ONLY_FOR_OTHERS = {"stream_pending"}
"""Declared, and on no dashboard: the metric by consumer shows more."""


def metrics_of(expression: str) -> set[str]:
    """Return the metric names of an expression, without the suffixes of histograms."""
    names = re.findall(r"([a-zA-Z_]\w*)\{", expression)
    return {re.sub(r"(_seconds)_(bucket|count|sum)$", r"\1", name) for name in names}


def missing(asked: Any, answered: Any, path: str = "") -> list[str]:
    """Return the paths at which the second value lacks, or changes, what the first has."""
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


def strays(value: Any, wanted: Any, path: str = "") -> list[str]:
    """Return the places where a Grafana model holds a value that its annotations forbid; the models check nothing."""
    arms = get_args(wanted)
    if get_origin(wanted) in (Union, UnionType):
        return min((strays(value, arm, path) for arm in arms), key=len)
    if isinstance(value, list) and get_origin(wanted) is list:
        return [one for number, item in enumerate(value) for one in strays(item, arms[0], f"{path}.{number}")]
    if isinstance(value, dict) and get_origin(wanted) is dict:
        return [one for key, item in value.items() for one in strays(item, arms[1], f"{path}.{key}")]
    if isinstance(value, dict) and hasattr(wanted, "from_json"):
        value = wanted.from_json(value)
    if arms:
        fits = get_origin(wanted) is Literal and value in arms
    elif wanted in (Any, object) or (isinstance(value, wanted) and type(value).__module__.startswith(SDK)):
        # A panel's options and a target have the type that belongs to the kind of panel, and of data source.
        hints = get_type_hints(type(value)) if type(value).__module__.startswith(SDK) else {}
        return [one for name, of in hints.items() for one in strays(getattr(value, name), of, f"{path}.{name}")]
    elif issubclass(wanted, Enum):
        fits = value in {one.value for one in wanted}
    else:
        fits = isinstance(value, (float, int) if wanted is float else wanted) and (
            wanted is bool or not isinstance(value, bool)
        )
    return [] if fits else [f"{path}: {value!r}"]


def test_the_files_are_those_that_the_source_writes() -> None:
    """After a change to `grafana/boards`: python -m grafana."""
    assert {file: file.read_text(encoding="utf-8") for file in FILES} == contents()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_grafana_knows_every_field(file: Path) -> None:
    """Grafana's published models drop unknown fields, so a misspelt option would do nothing."""
    register_default_plugins()
    board = json.loads(file.read_text(encoding="utf-8"))

    known = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))

    assert missing(board, known) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_grafana_accepts_every_value(file: Path) -> None:
    """Grafana silently replaces an unknown word by its default. `make dashboards` checks its TypeScript types."""
    register_default_plugins()
    board = json.loads(file.read_text(encoding="utf-8"))

    assert strays(Dashboard.from_json(board), Dashboard) == []


def test_the_types_are_those_of_the_grafana_that_is_deployed() -> None:
    """Otherwise `make dashboards` would check the types of another version."""
    folder = FOLDER.parent / "check"
    root = FOLDER.parents[1]
    wanted = json.loads((folder / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    locked = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    composed = [file.read_text(encoding="utf-8") for file in sorted(root.glob("docker-compose*.yml"))]

    images = {version for text in composed for version in re.findall(r"grafana/grafana:([\d.]+)", text)}
    assert images == {wanted["@grafana/schema"]}
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("integrity" in one for name, one in locked.items() if name)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (("fieldConfig", "defaults", "custom", "stacking", "mode"), "stacked"),
        (("fieldConfig", "defaults", "custom", "lineWidth"), "1"),
        (("fieldConfig", "defaults", "thresholds", "mode"), "relative"),
        (("options", "tooltip", "mode"), "some"),
        (("options", "legend", "showLegend"), "yes"),
        (("targets", 0, "range"), 1),
        (("gridPos", "w"), True),
        (("title",), 7),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_value_that_grafana_does_not_accept_is_found(field: tuple[str | int, ...], value: object) -> None:
    """It shows that the test above can fail."""
    register_default_plugins()
    board = json.loads((FOLDER / "message_processing.json").read_text(encoding="utf-8"))
    at = next(panel for panel in board["panels"] if panel["type"] == "timeseries")
    for step in field[:-1]:
        at = at[step]
    at[field[-1]] = value

    assert len(strays(Dashboard.from_json(board), Dashboard)) == 1


@pytest.mark.parametrize("name", boards())
def test_every_panel_asks_a_question_names_its_term_and_explains_the_answer(name: str) -> None:
    """A panel without a question is in the way of the others. Without its term, a search for "p99" finds nothing."""
    panels = panels_of(boards()[name])

    for panel in panels:
        assert re.fullmatch(r"[A-Z][^?·]+\? · [^?·]+", panel["title"]), panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
    assert [title for title, count in Counter(panel["title"] for panel in panels).items() if count > 1] == []


def test_a_percentile_is_found_by_its_name() -> None:
    """The legend of a panel is not searched."""
    for query in all_queries():
        for quantile in re.findall(r"histogram_quantile\(0\.(\d+)", query.expression):
            percent = f"{quantile:0<2}"[:2] + (f".{quantile[2:]}" if quantile[2:] else "")
            assert f"p{percent}" in query.panel, query


def test_every_panel_that_the_runbook_names_exists() -> None:
    """The person on call looks for it by its question."""
    text = " ".join((FOLDER.parents[1] / "docs" / "OPERATIONAL_RUNBOOK.md").read_text(encoding="utf-8").split())
    questions = {panel["title"].partition(" · ")[0] for board in boards().values() for panel in panels_of(board)}

    named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+\?)\*(?!\*)", text))
    assert len(named) > 8
    assert named - questions == set()


@pytest.mark.parametrize("name", boards())
def test_no_panel_overlaps_another_or_the_edge(name: str) -> None:
    """Grafana would move them."""
    taken: Counter[tuple[int, int]] = Counter()
    for panel in boards()[name]["panels"]:
        at = panel["gridPos"]
        taken.update((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"]))

    assert max(taken.values()) == 1
    assert max(x for x, _ in taken) < 24


@pytest.mark.parametrize("name", boards())
def test_nodes_can_be_chosen_and_occasions_where_greetings_are_shown(name: str) -> None:
    """On call you look for the node, or the occasion, that differs."""
    board = boards()[name]
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set(
        re.findall(
            r"\$([a-z]\w*)", " ".join(query.expression for query in all_queries() if query.dashboard == board["title"])
        )
    )

    assert variables == used | {"source", "node"}
    assert ("occasion" in variables) == (name in ("message_processing", "error_tracking"))


def test_a_chosen_occasion_limits_every_figure_about_greetings() -> None:
    """A figure that counts other occasions too would be misread."""
    by_occasion = {scraped_name(metric) for metric in declared() if "occasion" in metric._labelnames}
    by_occasion -= {"sending_held"}  # a hold of everything holds the chosen occasion, too

    selectors = [
        (query, *found)
        for query in all_queries()
        for found in re.findall(r"([a-zA-Z_]\w*)\{([^}]*)\}", query.expression)
        if metrics_of(f"{found[0]}{{") & by_occasion
    ]
    assert {name for _, name, _ in selectors} >= {"messages_retried_total", "messages_expired_total"}
    assert [query.panel for query, _, selector in selectors if 'occasion=~"$occasion"' not in selector] == []


def test_a_node_is_chosen_by_its_id_in_logs_and_streams() -> None:
    """Prometheus knows only the address, which may belong to another node after a restart."""
    (node,) = {(one.query, one.regex) for one in choices() if one.name == "node"}
    choice = next(one for one in choices() if one.name == "node")
    labels = {"__name__": "heyday_info", "instance": "10.0.0.7:8080", "job": "heyday", "node": "eve-3f", "version": "1"}

    assert choice.offered(labels) == "10.0.0.7:8080"
    assert choice.offered({**labels, "node": ""}) is None
    assert re.search(r"\(\?<text>", node[1])
    assert [query.panel for query in all_queries() if "{{instance}}" in query.legend] == []


def test_every_query_uses_metrics_that_are_declared() -> None:
    """A metric that does not exist gives an empty panel, which looks as if all is well."""
    names = {scraped_name(metric) for metric in declared()} | OF_PROMETHEUS | OF_THE_PROCESS
    recorded = {rule["record"] for rule in rules() if "record" in rule}

    unknown = {name for query in all_queries() for name in metrics_of(query.expression) if name not in names}
    assert unknown == set()
    assert {name for query in all_queries() for name in re.findall(r"heyday:[\w:]+", query.expression)} <= recorded


def test_every_metric_is_on_a_dashboard() -> None:
    """A metric that no panel shows need not be measured."""
    shown = {name for query in all_queries() for name in metrics_of(query.expression)}

    assert {scraped_name(metric) for metric in declared()} - shown == ONLY_FOR_OTHERS


def test_prometheus_can_read_every_query(programs: Programs, tmp_path: Path) -> None:
    """A query with a mistake gives an empty panel, too."""
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


def test_a_jump_that_every_node_notices_is_one_jump(programs: Programs, tmp_path: Path) -> None:
    """Added up, one jump would look like one for each node."""
    (jumps,) = [query.filled(lately="1m", shown="1h") for query in all_queries() if "clock_jumps" in query.expression]
    series = [
        {"series": f'clock_jumps_total{{job="heyday", instance="{node}"}}', "values": "0x30 1x90"} for node in "abc"
    ]
    asked = {"expr": f"round({jumps})", "eval_time": "70m", "exp_samples": [{"labels": "{}", "value": 1}]}
    file = tmp_path / "jumps.yml"
    case = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    file.write_text(yaml.safe_dump({"tests": [case]}))

    done = subprocess.run(
        [programs.promtool, "test", "rules", file], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "query",
    [one for one in all_queries() if one.unit == "s" and "histogram_quantile" in one.expression],
    ids=lambda one: one.panel,
)
def test_a_percentile_is_of_all_nodes_together(query: Query) -> None:
    """Percentiles cannot be added or averaged; buckets can."""
    assert re.search(r"histogram_quantile\([\d.]+, sum by \(le[\w, ]*\)", query.expression)


def test_the_provisioning_leads_to_the_files() -> None:
    """Grafana reports nothing if a folder is empty."""
    folder = FOLDER.parent / "provisioning"
    source = read_yaml(folder / "datasources" / "prometheus.yml")["datasources"][0]
    provider = read_yaml(folder / "dashboards" / "heyday.yml")["providers"][0]

    chosen = {board["templating"]["list"][0]["current"]["value"] for board in boards().values()}
    assert chosen == {source["uid"]}
    assert provider["type"] == "file"
    assert len(FILES) == 5
