"""Reads the queries of the dashboard files as Prometheus receives them: Grafana's variables are replaced."""

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
    """A query of a panel.

    `legend` has `{{label}}` for a label's value. `kind` is the panel's type. `words` maps a value to its text and its
    Grafana colour.
    """

    dashboard: str
    panel: str
    kind: str
    unit: str
    legend: str
    expression: str
    words: Mapping[float, tuple[str, str]] = field(default_factory=dict)

    def filled(self, *, lately: str, shown: str) -> str:
        """Return the PromQL for all nodes and occasions; `lately`: window of rates, `shown`: the dashboard's range."""
        return filled(self.expression, lately=lately, shown=shown)


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable at the top of a dashboard, and the query for its choices."""

    dashboard: str
    name: str
    query: str
    regex: str

    @property
    def expression(self) -> str:
        """The expression that Grafana asks Prometheus for."""
        found = re.fullmatch(r"label_values\((.+), \w+\)|query_result\((.+)\)", self.query)
        assert found is not None, self.query  # noqa: S101 - Grafana would offer nothing
        return found[1] or found[2]

    def offered(self, labels: Mapping[str, str]) -> str | None:
        """Return the choice that a series with these labels offers (`__name__` included), or None."""
        if self.query.startswith("label_values"):
            return labels.get(self.query.rpartition(", ")[2].rstrip(")"))
        told = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
        text = f"{labels.get('__name__', '')}{{{told}}} 1 0"
        found = re.search(self.regex.strip("/").replace("(?<", "(?P<"), text)
        return found and found["value"]


def choices() -> list[Choice]:
    """Return those of every dashboard."""
    return [
        Choice(board["title"], one["name"], one["query"]["query"], one["regex"])
        for board in boards().values()
        for one in board["templating"]["list"]
        if one["type"] == "query"
    ]


def filled(expression: str, *, lately: str, shown: str) -> str:
    """Return the expression with Grafana's variables replaced; all nodes and occasions are chosen."""
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
    """Return the dashboards as Grafana loads them, by file name."""
    return {file.stem: load(file) for file in sorted(FOLDER.glob("*.json"))}


def load(file: Path) -> dict[str, Any]:
    """Return one dashboard."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def panels_of(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without the row headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries_of(board: Mapping[str, Any]) -> Iterator[Query]:
    """Yield every query of its panels and annotations."""
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
    """Return those of every dashboard."""
    return [query for board in boards().values() for query in queries_of(board)]
