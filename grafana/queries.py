"""The queries of the dashboards' files as Prometheus gets them: what Grafana fills in is filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grafana.files import FOLDER


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a panel. `legend` has `{{label}}` for a label's value; `kind` is the panel's type; `words` says what a
    value means, and in which of Grafana's colours it is shown."""

    dashboard: str
    panel: str
    kind: str
    unit: str
    legend: str
    expression: str
    words: Mapping[float, tuple[str, str]] = field(default_factory=dict)

    def filled(self, *, lately: str, shown: str) -> str:
        """Its PromQL for all nodes and occasions. `lately`: the window of rates; `shown`: the time of the dashboard."""
        return filled(self.expression, lately=lately, shown=shown)


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable at the top of a dashboard, and the query for what can be chosen."""

    dashboard: str
    name: str
    query: str
    regex: str

    @property
    def expression(self) -> str:
        """The series that Grafana asks for."""
        found = re.fullmatch(r"label_values\((.+), \w+\)|query_result\((.+)\)", self.query)
        assert found is not None, self.query  # noqa: S101 - Grafana would offer nothing
        return found[1] or found[2]

    def offered(self, labels: Mapping[str, str]) -> str | None:
        """What can be chosen because of a series with these labels, `__name__` among them; None if nothing."""
        if self.query.startswith("label_values"):
            return labels.get(self.query.rpartition(", ")[2].rstrip(")"))
        told = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
        text = f"{labels.get('__name__', '')}{{{told}}} 1 0"
        found = re.search(self.regex.strip("/").replace("(?<", "(?P<"), text)
        return found and found["value"]


def choices() -> list[Choice]:
    """Of every dashboard."""
    return [
        Choice(board["title"], one["name"], one["query"]["query"], one["regex"])
        for board in boards().values()
        for one in board["templating"]["list"]
        if one["type"] == "query"
    ]


def filled(expression: str, *, lately: str, shown: str) -> str:
    """The expression with Grafana's variables replaced, everything being chosen."""
    values: Mapping[str, str] = {
        "$__rate_interval": lately,
        "$__range": shown,
        "$node": ".*",
        "$occasion": ".*",
    }
    for variable, value in values.items():
        expression = expression.replace(variable, value)
    return expression


def boards() -> dict[str, dict[str, Any]]:
    """The dashboards as Grafana would load them, by the names of their files."""
    return {file.stem: load(file) for file in sorted(FOLDER.glob("*.json"))}


def load(file: Path) -> dict[str, Any]:
    """One of them."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def panels_of(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Its panels without the headings of rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries_of(board: Mapping[str, Any]) -> Iterator[Query]:
    """Every query of its panels, and that of its annotations."""
    for panel in panels_of(board):
        for target in panel["targets"]:
            yield Query(
                board["title"],
                panel["title"],
                panel["type"],
                panel["fieldConfig"]["defaults"]["unit"],
                target["legendFormat"],
                target["expr"],
                {
                    float(value): (word["text"], word["color"])
                    for mapping in panel["fieldConfig"]["defaults"].get("mappings", [])
                    for value, word in mapping["options"].items()
                },
            )
    for annotation in board["annotations"]["list"]:
        yield Query(board["title"], annotation["name"], "annotation", "none", "", annotation["expr"])


def all_queries() -> list[Query]:
    """Of every dashboard."""
    return [query for board in boards().values() for query in queries_of(board)]
