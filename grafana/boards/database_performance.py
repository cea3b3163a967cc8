"""Database Performance: connections and statements."""

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
            "How much of the pool is in use? · pool utilisation",
            "Share of all connections that the chosen nodes may open (HEYDAY_DATABASE_CONNECTIONS each).",
            {"in use": "sum(db_connections_active{NODE}) / sum(db_connections_max{NODE})"},
            unit="percentunit",
            width=6,
            steps=((None, GREEN), (0.7, ORANGE), (0.95, RED)),
        ),
        figure(
            "How many statements wait for a connection? · pool, waiting statements",
            "Now, over the chosen nodes. A few during a wave are normal. If the number stays high, the pool is exhausted.",
            {"waiting": "sum(db_connections_waiting{NODE})"},
            unit="none",
            width=6,
            steps=((None, GREEN), (1, ORANGE), (20, RED)),
        ),
        figure(
            "How often did a statement have to wait? · share of statements that waited",
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
            "How often was PostgreSQL away? · outages",
            "Outages within the time shown, counted by each node.",
            {"outages": 'sum(increase(outages_total{NODE, system="postgres"}[$__range]))'},
            unit="none",
            width=6,
            steps=NONE_IS_GOOD,
        ),
        series(
            "Does a transaction keep old row versions? · oldest snapshot",
            "Age of the oldest one of any client, such as a backup. While it is open, nothing that it can see is cleaned up.",
            {"oldest": "max(db_oldest_snapshot_age_seconds{ALL})"},
            unit="s",
        ),
        series(
            "What are the connections doing? · connections active, idle, max",
            "Connections of the chosen nodes: in use, open and idle, and the maximum.",
            {
                "in use": "sum(db_connections_active{NODE})",
                "idle": "sum(db_connections_idle{NODE})",
                "may be opened": "sum(db_connections_max{NODE})",
            },
            unit="none",
        ),
        series(
            "Which node's pool is exhausted? · waiting statements by node",
            "Statements that wait for a connection, by node.",
            {"{{node}}": "db_connections_waiting{NODE} NAMED"},
            unit="none",
        ),
        series(
            "How much waiting does that cost? · pool wait time",
            "Average number of waiting statements: seconds waited per second. It also shows short queues between two scrapes.",
            {"{{node}}": "rate(db_connection_wait_seconds_sum{NODE}[$__rate_interval]) NAMED"},
            unit="none",
        ),
        timeline(
            "When was PostgreSQL away, and for which node? · outages by node",
            "From the first statement that failed until every actor succeeded again.",
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
            "How many statements run? · queries/s",
            "Per second, the ten most frequent. The names are those in service/adapters/postgres/*.sql.",
            {"{{query}}": "topk(10, sum by (query) (rate(db_query_duration_seconds_count{NODE}[$__rate_interval])))"},
            unit="suffix: /s",
            stacked=True,
        ),
        series(
            "How long do statements take? · query latency p50, p95, p99",
            "Percentiles over all statements, the wait for a connection included.",
            {"p50": _quantile(0.5), "p95": _quantile(0.95), "p99": _quantile(0.99)},
            unit="s",
            logarithmic=True,
        ),
        series(
            "Which statement is slow? · query latency p95 by statement",
            "95th percentile by statement, the ten slowest.",
            {"{{query}}": f"topk(10, {_quantile(0.95, 'le, query')})"},
            unit="s",
            logarithmic=True,
        ),
        series(
            "Which statement keeps the database busy? · query load by statement",
            "Seconds of execution per second for the ten most expensive statements.",
            {"{{query}}": "topk(10, sum by (query) (rate(db_query_duration_seconds_sum{NODE}[$__rate_interval])))"},
            unit="none",
            stacked=True,
        ),
        heatmap(
            "Are all slow, or only some? · query latency histogram",
            "Statements by duration. A lock or a bad query plan shows as a separate cloud.",
            "sum by (le) (increase(db_query_duration_seconds_bucket{NODE}[$__rate_interval]))",
            unit="s",
        ),
        table(
            "What does each statement cost on average? · mean query time",
            "Mean duration within the time shown. `heyday doctor --queries` has more about each.",
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
    "Is PostgreSQL fast enough, and are there enough connections?",
    [POOL, STATEMENTS],
)
