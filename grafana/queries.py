"""The queries of the dashboards' files as Prometheus gets them: what Grafana fills in is filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana.files import FOLDER


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a panel. `legend` has `{{label}}` for a label's value; `kind` is the panel's type."""

    dashboard: str
    panel: str
    kind: str
    unit: str
    legend: str
    expression: str

    def filled(self, *, lately: str, shown: str) -> str:
        """Its PromQL for all nodes and occasions. `lately`: the window of rates; `shown`: the time of the dashboard."""
        return filled(self.expression, lately=lately, shown=shown)


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
            )
    for annotation in board["annotations"]["list"]:
        yield Query(board["title"], annotation["name"], "annotation", "none", "", annotation["expr"])


def all_queries() -> list[Query]:
    """Of every dashboard."""
    return [query for board in boards().values() for query in queries_of(board)]
