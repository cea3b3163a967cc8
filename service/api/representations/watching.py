"""The figures that people watch, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar

from service.api.representations import kinds
from service.api.representations.answers import Answer, Member
from service.api.representations.holds import HeldAnswer
from service.api.representations.limits import LimitsAnswer
from service.domain.holds import Hold
from service.reports.day import Cell, Tally, totals

_CIRCUITS = {"closed": 0, "half_open": 2, "open": 3}
"""From the best to the worst. A state that only a later version knows comes after the first."""

SILENT_AFTER = 4.0
"""Seconds without a heartbeat after which a node is shown as silent: two of them are missing."""

MAX_COUNTED = 10_000
"""Messages of a kind that are counted for attention: there may be more."""


class ClockAnswer(Answer):
    """Business time, which stands beside watched figures."""

    now = Member(kinds.INSTANT, "Business time.")
    rate = Member(kinds.NUMBER, "Seconds of business time in a second: 1 but in a demo.")

    example: ClassVar = {"now": "2026-12-10T09:00:02.120000Z", "rate": 1.0}


class DayTallyAnswer(Answer):
    """Counts of greetings."""

    planned = Member(kinds.COUNT, "All but the cancelled ones.")
    waiting = Member(kinds.COUNT, "Ahead, or on their way and not late yet.")
    sending = Member(kinds.COUNT, "In a call of the email service.")
    late = Member(kinds.COUNT, "Unsent a minute after their instant, and neither retrying nor held.")
    retrying = Member(kinds.COUNT, "Waiting for another attempt.")
    held = Member(kinds.COUNT, "Due, and held.")
    sent = Member(kinds.COUNT, "Accepted by the email service.")
    sent_late = Member(kinds.COUNT, "Among those sent: later than a minute after their instant.")
    failed = Member(kinds.COUNT, "Refused, or all attempts spent.")
    expired = Member(kinds.COUNT, "Too late to be sent.")
    unknown_ = Member(kinds.COUNT, "Nobody knows whether the email service took them.", of="unknown", key="unknown")
    cancelled = Member(kinds.COUNT, "Not among the planned ones.")


DayTallyAnswer.example = DayTallyAnswer.json(Tally(planned=42, sent=40, retrying=2))


class DayCellAnswer(DayTallyAnswer):
    """The greetings of an occasion at one instant in one offset, or in one zone."""

    others: ClassVar = {
        "description": "`timezones`, the zones of the cell, or with `by=zone` the one `timezone`.",
        "anyOf": [{"type": "array", "items": kinds.TEXT}, kinds.TEXT],
    }

    at = Member(kinds.INSTANT, "The instant of these greetings.")
    offset = Member(kinds.TEXT, "Of the zones at that instant, such as `+05:30`.")
    offset_minutes = Member(kinds.INTEGER, "The same, in minutes east of UTC.")
    occasion = Member(kinds.ref("Occasion"))

    example: ClassVar = {
        "at": "2026-12-10T03:30:00Z",
        "offset": "+05:30",
        "offsetMinutes": 330,
        "occasion": "birthday",
        "timezones": ["Asia/Colombo", "Asia/Kolkata"],
        **DayTallyAnswer.example,
    }


class AttentionAnswer(Answer):
    """The figures that may need an operator."""

    since = Member(kinds.INSTANT, "The ends are those of greetings from this instant on.", of=itemgetter("since"))
    counted_up_to = Member(kinds.COUNT, "A count of this size means that there may be more.", of=lambda _: MAX_COUNTED)
    unknown_ = Member(kinds.COUNT, key="unknown", of=lambda overview: overview["ended"]["unknown"])
    failed = Member(kinds.COUNT, of=lambda overview: overview["ended"]["failed"])
    expired = Member(kinds.COUNT, of=lambda overview: overview["ended"]["expired"])
    overdue = Member(kinds.COUNT, "Due for more than a minute, and no call has begun.", of=itemgetter("overdue"))
    overdue_since = Member(
        kinds.INSTANT, "The first instant at which one of them was due.", null=True, of=itemgetter("overdueSince")
    )
    held = Member(kinds.OBJECT, "The active holds.", many=True)
    circuit = Member(
        kinds.OBJECT,
        "The worst circuit of all nodes, its reason, and the nodes that have it.",
        null=True,
        of=lambda overview: _circuit_json(overview["nodes"]),
    )
    away = Member(
        kinds.OBJECT, "The servers that nodes find away.", many=True, of=lambda overview: _away_json(overview["nodes"])
    )
    nodes = Member(kinds.OBJECT, "How many live, whose heartbeats are missing, and which died.")

    example: ClassVar = {
        "since": "2026-12-03T09:00:00Z",
        "countedUpTo": 10000,
        "unknown": 1,
        "failed": 3,
        "expired": 0,
        "overdue": 0,
        "overdueSince": None,
        "held": [],
        "circuit": {"state": "closed", "reason": None, "nodes": ["node-1", "node-2"]},
        "away": [{"system": "redis", "reason": "connection refused", "seconds": 3.2, "nodes": ["node-2"]}],
        "nodes": {"living": 2, "silent": [], "died": ["node-3"]},
    }


class DayFiguresAnswer(Answer):
    """A day, without the clock: what stays the same until the figures are computed again."""

    date = Member({"type": "string", "format": "date"})
    from_ = Member(kinds.INSTANT, "The first instant of the day in UTC.", key="from")
    to = Member(kinds.INSTANT, "The first instant of the next.")
    cells = Member(DayCellAnswer, "From the east to the west.", many=True)
    total = Member(DayTallyAnswer)
    by_occasion = Member(DayTallyAnswer, by_name=True)
    attention = Member(AttentionAnswer)

    example: ClassVar = {
        "date": "2026-12-10",
        "from": "2026-12-10T00:00:00Z",
        "to": "2026-12-11T00:00:00Z",
        "cells": [DayCellAnswer.example],
        "total": DayTallyAnswer.example,
        "byOccasion": {"birthday": DayTallyAnswer.example},
        "attention": AttentionAnswer.example,
    }


class DayAnswer(ClockAnswer, DayFiguresAnswer):
    """A day around the world."""

    example: ClassVar = {**ClockAnswer.example, **DayFiguresAnswer.example}


class WatchedNodeAnswer(Answer):
    """A living node."""

    node = Member(kinds.TEXT)
    incarnation = Member(kinds.INTEGER, "The number of its start.")
    started_at = Member(kinds.INSTANT)
    silent_seconds = Member(
        kinds.NUMBER, "Since its last heartbeat. At 8 s it is ended.", of=lambda node: round(max(0.0, node.silent), 1)
    )
    tzdata = Member(kinds.TEXT, "The release of its zone data.", null=True)
    version = Member(kinds.TEXT, "The version of heyday; null: one that does not tell.", null=True)
    settings = Member(kinds.OBJECT, "The settings in effect when it started, without secrets and addresses.", null=True)
    report = Member(kinds.OBJECT, "What it says of itself; null: nothing lately, or Redis is away.", null=True)

    example: ClassVar = {
        "node": "node-1",
        "incarnation": 7,
        "startedAt": "2026-12-10T08:40:12.120000Z",
        "silentSeconds": 0.7,
        "tzdata": "2026f",
        "version": "0.1.0",
        "settings": {"send_at": "09:00:00", "email_rate": "100/s"},
        "report": {
            "version": "0.1.0",
            "tzdata": "2026f",
            "missing": [],
            "lease": {"held": True, "secondsLeft": 5.1},
            "clock": {"skewSeconds": 0.002, "jumps": 0},
            "circuit": {"state": "closed", "reason": None, "seconds": 812.4},
            "outages": [],
            "queuePolicies": [],
            "pool": {"active": 1, "idle": 9, "max": 10, "waiting": 0},
            "limits": LimitsAnswer.example,
            "actors": {
                "name": "node",
                "kind": "supervisor",
                "state": "running",
                "mailbox": None,
                "restarts": 0,
                "lastError": None,
                "seconds": 812.4,
                "children": [],
            },
        },
    }


class EndedNodeAnswer(Answer):
    """A node that has ended."""

    node = Member(kinds.TEXT)
    incarnation = Member(kinds.INTEGER, "The number of its start.")
    ended_seconds = Member(kinds.COUNT, "So long ago.", of=lambda node: round(max(0.0, node.ended)))
    died = Member(kinds.FLAG, "Others ended it, because its heartbeats were missing.")

    example: ClassVar = {"node": "node-3", "incarnation": 5, "endedSeconds": 42, "died": True}


class NodesFiguresAnswer(Answer):
    """The nodes, without the clock."""

    items = Member(WatchedNodeAnswer, many=True)
    ended = Member(EndedNodeAnswer, many=True)

    example: ClassVar = {"items": [WatchedNodeAnswer.example], "ended": [EndedNodeAnswer.example]}


class NodesAnswer(ClockAnswer, NodesFiguresAnswer):
    """The living nodes, and those that have ended."""

    example: ClassVar = {**ClockAnswer.example, **NodesFiguresAnswer.example}


def day_json(cells: Sequence[Cell], *, by_zone: bool, **more: object) -> dict[str, Any]:
    """The cells of a day, and their sums."""
    everything, by_occasion = totals(cells)
    return DayFiguresAnswer.json(
        cells=[_cell_json(cell, by_zone=by_zone) for cell in cells],
        total=DayTallyAnswer.json(everything),
        by_occasion={code: DayTallyAnswer.json(tally) for code, tally in by_occasion.items()},
        **more,
    )


def _cell_json(cell: Cell, *, by_zone: bool) -> dict[str, Any]:
    shown = DayCellAnswer.json(
        cell.tally,
        at=cell.at,
        offset=offset_text(cell.offset),
        offset_minutes=cell.offset,
        occasion=cell.occasion,
    )
    return {**shown, **({"timezone": min(cell.zones)} if by_zone else {"timezones": sorted(cell.zones)})}


def offset_text(minutes: int) -> str:
    """An offset as people write it: `+05:30`."""
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def attention_json(overview: Mapping[str, Any], holds: Sequence[Hold]) -> dict[str, Any]:
    """The figures that may need an operator."""
    nodes = overview["nodes"]
    return AttentionAnswer.json(
        overview,
        held=[{"occasion": hold.occasion, **HeldAnswer.json(hold)} for hold in holds],
        nodes={
            "living": len(nodes),
            "silent": [one["node"] for one in nodes if one["silentSeconds"] > SILENT_AFTER],
            "died": [one["node"] for one in overview["endedNodes"] if one["died"]],
        },
    )


def _reports(nodes: Iterable[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(one["node"], one["report"]) for one in nodes if one["report"] is not None]


def _circuit_json(nodes: Iterable[Mapping[str, Any]]) -> dict[str, object] | None:
    """The worst circuit of all nodes, and the nodes that have it. Null if no node has reported."""
    circuits = [(_CIRCUITS.get(report["circuit"]["state"], 1), name, report) for name, report in _reports(nodes)]
    if not circuits:
        return None
    worst, _, report = max(circuits, key=lambda one: one[0])
    return {
        "state": report["circuit"]["state"],
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
