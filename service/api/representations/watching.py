"""The figures that people watch, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.api.watching import MAX_COUNTED
from service.domain.holds import Hold
from service.reports.day import Cell, Tally, totals

_CIRCUITS = ("closed", "half_open", "open")
"""From the best to the worst."""

SILENT_AFTER = 4.0
"""Seconds without a heartbeat after which a node is shown as silent: two of them are missing."""


def day_json(cells: Sequence[Cell], *, by_zone: bool) -> dict[str, object]:
    """The cells of a day, and their sums."""
    everything, by_occasion = totals(cells)
    return {
        "cells": [
            {
                "at": cell.at,
                "offset": offset_text(cell.offset),
                "offsetMinutes": cell.offset,
                "occasion": cell.occasion,
                **({"timezone": min(cell.zones)} if by_zone else {"timezones": sorted(cell.zones)}),
                **tally_json(cell.tally),
            }
            for cell in cells
        ],
        "total": tally_json(everything),
        "byOccasion": {code: tally_json(tally) for code, tally in by_occasion.items()},
    }


def tally_json(tally: Tally) -> dict[str, int]:
    """The counts, by their names in JSON."""
    return {
        "planned": tally.planned,
        "waiting": tally.waiting,
        "sending": tally.sending,
        "late": tally.late,
        "retrying": tally.retrying,
        "held": tally.held,
        "sent": tally.sent,
        "sentLate": tally.sent_late,
        "failed": tally.failed,
        "expired": tally.expired,
        "unknown": tally.unknown,
        "cancelled": tally.cancelled,
    }


def offset_text(minutes: int) -> str:
    """An offset as people write it: `+05:30`."""
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def attention_json(overview: Mapping[str, Any], holds: Sequence[Hold]) -> dict[str, object]:
    """The figures that may need an operator."""
    nodes = overview["nodes"]
    return {
        "since": overview["since"],
        "countedUpTo": MAX_COUNTED,
        **overview["ended"],
        "overdue": overview["overdue"],
        "overdueSince": overview["overdueSince"],
        "held": [
            {
                "id": hold.id,
                "occasion": hold.occasion,
                "since": hold.created_at,
                "until": hold.until,
                "author": hold.author,
                "reason": hold.reason,
            }
            for hold in holds
        ],
        "circuit": _circuit_json(nodes),
        "away": _away_json(nodes),
        "nodes": {
            "living": len(nodes),
            "silent": [one["node"] for one in nodes if one["silentSeconds"] > SILENT_AFTER],
            "died": [one["node"] for one in overview["endedNodes"] if one["died"]],
        },
    }


def _reports(nodes: Iterable[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(one["node"], one["report"]) for one in nodes if one["report"] is not None]


def _circuit_json(nodes: Iterable[Mapping[str, Any]]) -> dict[str, object] | None:
    """The worst circuit of all nodes, and the nodes that have it. Null if no node has reported."""
    circuits = [(_CIRCUITS.index(report["circuit"]["state"]), name, report) for name, report in _reports(nodes)]
    if not circuits:
        return None
    worst, _, report = max(circuits, key=lambda one: one[0])
    return {
        "state": _CIRCUITS[worst],
        "reason": report["circuit"]["reason"],
        "nodes": [name for rank, name, _ in circuits if rank == worst],
    }


def _away_json(nodes: Iterable[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Each server that nodes cannot reach: the longest time, and the nodes."""
    away: dict[str, dict[str, Any]] = {}
    for name, report in _reports(nodes):
        for outage in report["outages"]:
            one = away.setdefault(
                outage["system"], {"system": outage["system"], "reason": outage["reason"], "seconds": 0.0, "nodes": []}
            )
            one["seconds"] = max(one["seconds"], outage["seconds"])
            one["nodes"].append(name)
    return list(away.values())
