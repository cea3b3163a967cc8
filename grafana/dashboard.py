"""Builds a dashboard from its panels: variables, links to other dashboards, and the position of each panel."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana.panels import SOURCE, Panel

SCHEMA_VERSION = 41
"""The schema of Grafana 11.6. Later versions read it too."""

COLUMNS = 24
"""The width of Grafana's grid."""

OCCASION = "occasion"
"""The variable of dashboards about greetings."""

_OCCASIONS = 'label_values(messages_sent_total{job="heyday"}, occasion)'
_NODES = 'query_result(heyday_info{job="heyday"})'
_NODE = '/instance="(?<value>[^"]+)".*node="(?<text>[^"]+)"/'
"""The list shows the node's id, as in logs and streams. The chosen value is the address, which every series has."""


@dataclass(frozen=True)
class Row:
    """Panels under a heading, from left to right; a panel that does not fit starts a new line."""

    title: str
    panels: Sequence[Panel]


def dashboard(uid: str, title: str, description: str, rows: Sequence[Row], *, by_occasion: bool = False) -> Panel:
    """Return the dashboard in Grafana's JSON. `by_occasion` adds a variable for the occasion."""
    variables = [_source(), _choice("node", "Node", "The ids of nodes.", _NODES, _NODE)]
    if by_occasion:
        variables.append(_choice(OCCASION, "Occasion", "Occasions of greetings.", _OCCASIONS))
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["heyday"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,  # the cursor is in all panels at once
        "fiscalYearStartMonth": 0,
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "annotations": {"list": [_alerts()]},
        "links": [_others()],
        "panels": _placed(rows),
    }


def _placed(rows: Sequence[Row]) -> list[Panel]:
    placed: list[Panel] = []
    y = 0
    for row in rows:
        placed.append(
            {
                "type": "row",
                "id": len(placed) + 1,
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
                "panels": [],
            }
        )
        y += 1
        x = line = 0
        for one in row.panels:
            panel = copy.deepcopy(one)
            width, height = panel["gridPos"]["w"], panel["gridPos"]["h"]
            if x + width > COLUMNS:
                y, x, line = y + line, 0, 0
            placed.append({"id": len(placed) + 1, **panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}})
            x, line = x + width, max(line, height)
        y += line
    return placed


def _source() -> dict[str, Any]:
    return {
        "type": "datasource",
        "name": "source",
        "label": "Prometheus",
        "query": "prometheus",
        "current": {"selected": True, "text": "Prometheus", "value": "heyday-prometheus"},
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "allowCustomValue": False,
        "skipUrlSync": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def _choice(name: str, label: str, description: str, query: str, regex: str = "") -> dict[str, Any]:
    return {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": dict(SOURCE),
        "query": {"query": query, "refId": name},
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "allowCustomValue": True,
        "skipUrlSync": False,
        "options": [],
        "refresh": 2,  # whenever the range of time changes
        "sort": 1,
        "regex": regex,
    }


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": dict(SOURCE),
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "expr": 'ALERTS{app="heyday", alertstate="firing", severity="critical"}',
    }


def _others() -> dict[str, Any]:
    return {
        "type": "dashboards",
        "title": "heyday",
        "icon": "external link",
        "tooltip": "The other dashboards, for the same time and nodes",
        "url": "",
        "tags": ["heyday"],
        "asDropdown": False,
        "targetBlank": False,
        "includeVars": True,
        "keepTime": True,
    }
