"""Asks Prometheus every query of the dashboards, and which alerts fired."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from grafana.queries import Query, all_queries, choices
from loadtest.observe.prometheus import PrometheusServer, Series

LATELY = "10s"
"""The window of rates: ten scrapes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The series of a query, each with its legend."""

    query: Query
    series: list[tuple[str, Series]]


async def ask_everything(prometheus: PrometheusServer, *, since: float, until: float) -> list[Answer]:
    """Return the answers to all queries of all dashboards, between two instants in seconds since 1970."""

    async def ask(query: Query) -> Answer:
        expression = query.filled(lately=LATELY, shown=f"{int(until - since)}s")
        found = await prometheus.query(expression, since=since, until=until)
        return Answer(query, [(named(query.legend, one.labels), one) for one in found])

    queries = all_queries()
    answers: list[Answer] = []
    for first in range(0, len(queries), 8):
        answers += await asyncio.gather(*map(ask, queries[first : first + 8]))
    return answers


def unanswered(answers: list[Answer]) -> list[str]:
    """Return the queries without an answer."""
    return [f"{one.query.dashboard}: {one.query.panel} {one.query.expression}" for one in answers if not one.series]


async def empty_choices(prometheus: PrometheusServer, *, since: float, until: float) -> list[str]:
    """Return the variables of dashboards that offer no choice."""
    empty = []
    for choice in choices():
        found = await prometheus.query(choice.expression, since=since, until=until)
        if not any(choice.offered(series.labels) for series in found):
            empty.append(f"{choice.dashboard}: ${choice.name} {choice.query}")
    return empty


async def fired(prometheus: PrometheusServer, *, since: float, until: float) -> set[str]:
    """Return the names of the alerts that fired between two instants."""
    found = await prometheus.query('ALERTS{alertstate="firing", severity!="none"}', since=since, until=until)
    return {series.labels["alertname"] for series in found}


def named(legend: str, labels: Mapping[str, str]) -> str:
    """Return the legend of a series."""
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), legend)
