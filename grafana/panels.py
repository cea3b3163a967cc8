"""The kinds of panel of the dashboards, in Grafana's JSON.

A query is PromQL. NODE stands for the nodes chosen at the top of the dashboard, ALL for every node. NAMED at its end
adds the label `node`, the id of the node in logs and streams, to series that have only an address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Panel = dict[str, Any]

SOURCE = {"type": "prometheus", "uid": "${source}"}

PLACEHOLDERS = {
    "NAMED": "* on (instance) group_left (node) heyday_info{NODE}",
    "NODE": 'job="heyday", instance=~"$node"',
    "ALL": 'job="heyday"',
}

RED, ORANGE, GREEN, BLUE = "red", "orange", "green", "blue"

Queries = Mapping[str, str]
"""Queries by the legend of their series; `{{label}}` in a legend stands for the label's value."""

Steps = Sequence[tuple[float | None, str]]
"""Pairs of a lower bound (None: no bound) and the colour from there on."""

CALM: Steps = ((None, GREEN),)
NONE_IS_GOOD: Steps = ((None, GREEN), (0.001, ORANGE))

CIRCUIT = {0: ("closed", GREEN), 1: ("open", RED), 2: ("half-open", ORANGE)}
UP = {1: ("up", GREEN), 0: ("away", RED)}


def series(
    title: str,
    description: str,
    queries: Queries,
    *,
    unit: str,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    logarithmic: bool = False,
    least: float | None = 0,
    limits: Steps = (),
) -> Panel:
    """Lines over time; `limits` are drawn as dashed lines."""
    custom: dict[str, Any] = {
        "lineWidth": 1,
        "fillOpacity": 40 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "scaleDistribution": {"type": "log", "log": 10} if logarithmic else {"type": "linear"},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    options = {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel = _panel("timeseries", title, description, queries, width, height, options)
    panel["fieldConfig"]["defaults"] |= _defaults(unit, limits or CALM) | {
        "color": {"mode": "palette-classic"},
        "custom": custom,
    }
    if least is not None and not logarithmic:
        panel["fieldConfig"]["defaults"]["min"] = least
    return panel


def figure(
    title: str,
    description: str,
    queries: Queries,
    *,
    unit: str,
    width: int = 4,
    height: int = 4,
    steps: Steps = CALM,
    words: Mapping[int, tuple[str, str]] | None = None,
    none: str | None = None,
) -> Panel:
    """The last value, large and coloured; `words` are shown for values, `none` where there is no value."""
    options = {
        "graphMode": "none" if words else "area",
        "colorMode": "value",
        "justifyMode": "auto",
        "textMode": "value_and_name" if len(queries) > 1 or "{{" in next(iter(queries)) else "value",
        "wideLayout": True,
        "showPercentChange": False,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "percentChangeColorMode": "standard",
        "orientation": "auto",
    }
    panel = _panel("stat", title, description, queries, width, height, options)
    panel["fieldConfig"]["defaults"] |= _defaults(unit, steps, words) | {"color": {"mode": "thresholds"}}
    if none is not None:
        panel["fieldConfig"]["defaults"]["noValue"] = none
    return panel


def timeline(
    title: str,
    description: str,
    queries: Queries,
    *,
    words: Mapping[int, tuple[str, str]],
    width: int = 24,
    height: int = 6,
    none: str | None = None,
) -> Panel:
    """A bar for each series, coloured by its state."""
    options = {
        "showValue": "never",
        "rowHeight": 0.8,
        "mergeValues": True,
        "alignValue": "left",
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    panel = _panel("state-timeline", title, description, queries, width, height, options)
    panel["fieldConfig"]["defaults"] |= _defaults("none", CALM, words) | {
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 80, "lineWidth": 0},
    }
    if none is not None:
        panel["fieldConfig"]["defaults"]["noValue"] = none
    return panel


def heatmap(title: str, description: str, query: str, *, unit: str, width: int = 12, height: int = 8) -> Panel:
    """A heatmap of a histogram's buckets over time."""
    options = {
        "calculate": False,
        "color": {
            "mode": "scheme",
            "scheme": "Blues",
            "fill": "dark-blue",
            "exponent": 0.5,
            "steps": 64,
            "reverse": False,
        },
        "filterValues": {"le": 1e-9},
        "cellGap": 1,
        "cellValues": {"unit": "short"},
        "yAxis": {"unit": unit, "axisPlacement": "left", "reverse": False},
        "showValue": "never",
        "legend": {"show": True},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "rowsFrame": {"layout": "auto"},
        "selectionMode": "x",
    }
    panel = _panel("heatmap", title, description, {"{{le}}": query}, width, height, options)
    panel["fieldConfig"]["defaults"] |= _defaults(unit, CALM)
    panel["targets"][0]["format"] = "heatmap"
    return panel


def table(
    title: str,
    description: str,
    query: str,
    *,
    unit: str,
    columns: Mapping[str, str],
    width: int = 12,
    height: int = 8,
) -> Panel:
    """A table of the current value of each series; `columns` maps labels, and `Value`, to column titles."""
    options = {
        "showHeader": True,
        "cellHeight": "sm",
        "frameIndex": 0,
        "sortBy": [{"displayName": columns["Value"], "desc": True}] if "Value" in columns else [],
    }
    panel = _panel("table", title, description, {"": query}, width, height, options)
    panel["fieldConfig"]["defaults"] |= _defaults(unit, CALM)
    panel["targets"][0] |= {"format": "table", "instant": True, "range": False}
    order = {name: place for place, name in enumerate(columns)}
    panel["transformations"] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": [*columns]}}},
        {"id": "organize", "options": {"indexByName": order, "renameByName": dict(columns)}},
    ]
    return panel


def _panel(
    kind: str, title: str, description: str, queries: Queries, width: int, height: int, options: dict[str, Any]
) -> Panel:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": dict(SOURCE),
        "gridPos": {"w": width, "h": height, "x": 0, "y": 0},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": dict(SOURCE),
                "expr": _expanded(query),
                "legendFormat": legend,
                "editorMode": "code",
                "range": True,
                "instant": False,
            }
            for number, (legend, query) in enumerate(queries.items())
        ],
        "fieldConfig": {"defaults": {}, "overrides": []},
        "options": options,
    }


def _defaults(unit: str, steps: Steps, words: Mapping[int, tuple[str, str]] | None = None) -> dict[str, Any]:
    lines = steps if steps[0][0] is None else ((None, GREEN), *steps)
    mapped = {
        str(value): {"text": text, "color": colour, "index": place}
        for place, (value, (text, colour)) in enumerate((words or {}).items())
    }
    return {
        "unit": unit,
        "thresholds": {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in lines]},
        "mappings": [{"type": "value", "options": mapped}] if mapped else [],
    }


def _expanded(query: str) -> str:
    text = " ".join(query.split())
    for name, meaning in PLACEHOLDERS.items():
        text = text.replace(name, meaning)
    return text
