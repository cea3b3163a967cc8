"""Database Performance: is PostgreSQL fast enough, and are there connections enough to it?"""

from __future__ import annotations

from grafana.dashboard import Row, dashboard
from grafana.panels import GREEN, NONE_IS_GOOD, ORANGE, RED, figure, heatmap, series, table, timeline


def _quantile(quantile: float, by: str = "le") -> str:
    return f"""
        histogram_quantile({quantile:g}, sum by ({by}) (
            rate(db_query_duration_seconds_bucket{{NODE}}[$__rate_interval])))
    """


POOL = Row(
    "Connections",
    [
        figure(
            "How much of the pool is in use?",
            "Of all the connections that the chosen nodes may open (HEYDAY_DATABASE_CONNECTIONS each).",
            {"in use": "sum(db_connections_active{NODE}) / sum(db_connections_max{NODE})"},
            unit="percentunit",
            width=6,
            steps=((None, GREEN), (0.7, ORANGE), (0.95, RED)),
        ),
        figure(
            "How many statements wait for a connection?",
            "Now, over the chosen nodes. In a wave some may; when they do all the time the pool is exhausted.",
            {"waiting": "sum(db_connections_waiting{NODE})"},
            unit="none",
            width=6,
            steps=((None, GREEN), (1, ORANGE), (20, RED)),
        ),
        figure(
            "How often did a statement have to wait?",
            "Share of the statements within the time shown that found every connection in use.",
            {
                "waited": """
                    sum(increase(db_connection_wait_seconds_count{NODE}[$__range]))
                    / sum(increase(db_query_duration_seconds_count{NODE}[$__range]))
                """
            },
            unit="percentunit",
            width=6,
            steps=((None, GREEN), (0.05, ORANGE), (0.25, RED)),
        ),
        figure(
            "How often was PostgreSQL away?",
            "Within the time shown, as each node met it.",
            {"outages": 'sum(increase(outages_total{NODE, system="postgres"}[$__range]))'},
            unit="none",
            width=6,
            steps=NONE_IS_GOOD,
        ),
        series(
            "What are the connections doing?",
            "Of all chosen nodes: in use, and open and idle, below what they may open.",
            {
                "in use": "sum(db_connections_active{NODE})",
                "idle": "sum(db_connections_idle{NODE})",
                "may be opened": "sum(db_connections_max{NODE})",
            },
            unit="none",
        ),
        series(
            "Which node's pool is exhausted?",
            "Statements that wait for a connection, by node.",
            {"{{node}}": "db_connections_waiting{NODE} NAMED"},
            unit="none",
        ),
        series(
            "How much waiting does that cost?",
            "Statements that were waiting on average: seconds waited per second. It tells of short queues between two scrapes, too.",
            {"{{node}}": "rate(db_connection_wait_seconds_sum{NODE}[$__rate_interval]) NAMED"},
            unit="none",
        ),
        timeline(
            "When was PostgreSQL away, and for which node?",
            "From the first statement that failed for it until every actor got through again.",
            {"{{node}}": 'dependency_up{NODE, system="postgres"} NAMED'},
            words={1: ("up", GREEN), 0: ("away", RED)},
            width=12,
            height=8,
        ),
    ],
)

STATEMENTS = Row(
    "Statements",
    [
        series(
            "How many statements run?",
            "Per second, the ten most frequent. The names are those in service/adapters/postgres/*.sql.",
            {"{{query}}": "topk(10, sum by (query) (rate(db_query_duration_seconds_count{NODE}[$__rate_interval])))"},
            unit="suffix: /s",
            stacked=True,
        ),
        series(
            "How long do they take?",
            "Percentiles over all statements, the wait for a connection included.",
            {"p50": _quantile(0.5), "p95": _quantile(0.95), "p99": _quantile(0.99)},
            unit="s",
            logarithmic=True,
        ),
        series(
            "Which statement is slow?",
            "95th percentile by statement, the ten slowest.",
            {"{{query}}": f"topk(10, {_quantile(0.95, 'le, query')})"},
            unit="s",
            logarithmic=True,
        ),
        series(
            "Which statement keeps the database busy?",
            "Seconds of statement per second, the ten most expensive: how often times how long.",
            {"{{query}}": "topk(10, sum by (query) (rate(db_query_duration_seconds_sum{NODE}[$__rate_interval])))"},
            unit="none",
            stacked=True,
        ),
        heatmap(
            "Are all a little slow, or some very?",
            "Statements by their duration. A lock, or a plan gone wrong, is a cloud of its own.",
            "sum by (le) (increase(db_query_duration_seconds_bucket{NODE}[$__rate_interval]))",
            unit="s",
        ),
        table(
            "What does each statement cost on average?",
            "Mean duration within the time shown. `heyday doctor --queries` says more about each.",
            """
                sum by (query) (increase(db_query_duration_seconds_sum{NODE}[$__range]))
                / (sum by (query) (increase(db_query_duration_seconds_count{NODE}[$__range])) > 0)
            """,
            unit="s",
            columns={"query": "statement", "Value": "mean"},
        ),
    ],
)

BOARD = dashboard(
    "heyday-database-performance",
    "heyday · Database Performance",
    "Is PostgreSQL fast enough, and are there connections enough to it?",
    [POOL, STATEMENTS],
)
