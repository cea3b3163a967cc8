"""API Performance: what is asked of the API, how fast does it answer, and what?"""

from __future__ import annotations

from grafana.dashboard import Row, dashboard
from grafana.panels import GREEN, NONE_IS_GOOD, ORANGE, RED, figure, heatmap, series, table


def _quantile(quantile: float, by: str = "le") -> str:
    return f"""
        histogram_quantile({quantile:g}, sum by ({by}) (
            rate(http_request_duration_seconds_bucket{{NODE}}[$__rate_interval])))
    """


def _share(codes: str, window: str) -> str:
    return f"""
        (sum(increase(http_requests_total{{NODE, status_code=~"{codes}"}}[{window}])) or vector(0))
        / sum(increase(http_requests_total{{NODE}}[{window}]))
    """


TRAFFIC = Row(
    "Traffic",
    [
        figure(
            "How many requests were there?",
            "Within the time shown, health checks and scrapes included.",
            {"requests": "sum(increase(http_requests_total{NODE}[$__range]))"},
            unit="short",
            width=6,
        ),
        figure(
            "Which share of them failed on our side?",
            "Answered with 5xx within the time shown. A 503 is a mailbox that was full, or a server that was away.",
            {"5xx": _share("5..", "$__range")},
            unit="percentunit",
            width=6,
            steps=((None, GREEN), (0.001, ORANGE), (0.01, RED)),
        ),
        figure(
            "How fast was the slowest in a hundred?",
            "99th percentile of the duration of all requests within the time shown.",
            {
                "p99": """histogram_quantile(0.99, sum by (le) (increase(http_request_duration_seconds_bucket{NODE}[$__range])))"""
            },
            unit="s",
            width=6,
            steps=((None, GREEN), (0.5, ORANGE), (2, RED)),
        ),
        figure(
            "How many were turned away for asking too often?",
            "Answered with 429 within the time shown (HEYDAY_RATE_LIMIT).",
            {"429": 'sum(increase(http_requests_total{NODE, status_code="429"}[$__range])) or vector(0)'},
            unit="short",
            width=6,
            steps=NONE_IS_GOOD,
        ),
        series(
            "What is asked?",
            "Requests per second by method and route. `unmatched` are paths that are not ours.",
            {"{{method}} {{route}}": "sum by (method, route) (rate(http_requests_total{NODE}[$__rate_interval]))"},
            unit="reqps",
            stacked=True,
        ),
        series(
            "What is answered?",
            "Answers per second by status code.",
            {"{{status_code}}": "sum by (status_code) (rate(http_requests_total{NODE}[$__rate_interval]))"},
            unit="reqps",
            stacked=True,
        ),
    ],
)

SPEED = Row(
    "Speed",
    [
        series(
            "How long does an answer take?",
            "Percentiles of the duration of all requests.",
            {"p50": _quantile(0.5), "p95": _quantile(0.95), "p99": _quantile(0.99)},
            unit="s",
            logarithmic=True,
        ),
        series(
            "Which route is slow?",
            "95th percentile by route, the ten slowest. An import takes as long as its rows.",
            {"{{method}} {{route}}": f"topk(10, {_quantile(0.95, 'le, method, route')})"},
            unit="s",
            logarithmic=True,
        ),
        heatmap(
            "Are all a little slow, or some very?",
            "Requests by their duration.",
            "sum by (le) (increase(http_request_duration_seconds_bucket{NODE}[$__rate_interval]))",
            unit="s",
        ),
        table(
            "Which requests cost the most time?",
            "Seconds spent on each route within the time shown, by answer.",
            "sum by (method, route, status_code) (increase(http_request_duration_seconds_sum{NODE}[$__range]))",
            unit="s",
            columns={"method": "method", "route": "route", "status_code": "answer", "Value": "time"},
        ),
    ],
)

TROUBLE = Row(
    "Trouble",
    [
        series(
            "Which share of the requests fails, and whose fault is it?",
            "4xx are the clients', 5xx are ours.",
            {
                "clients'": _share("4..", "$__rate_interval"),
                "ours": _share("5..", "$__rate_interval"),
            },
            unit="percentunit",
            limits=((0.01, ORANGE),),
        ),
        series(
            "Which answers are no success?",
            "Requests per second that were answered with 4xx or 5xx, by route and code.",
            {
                "{{route}} {{status_code}}": """
                    sum by (route, status_code) (rate(http_requests_total{NODE, status_code=~"[45].."}[$__rate_interval]))
                """
            },
            unit="reqps",
        ),
        series(
            "Is the API held up by its own process?",
            "How late the event loop ran what was due, at worst, in the last seconds; a request waits as long.",
            {"{{node}}": "event_loop_lag_seconds{NODE} NAMED"},
            unit="s",
        ),
        series(
            "Does it wait for the database?",
            "Statements of each node that wait for a connection.",
            {"{{node}}": "db_connections_waiting{NODE} NAMED"},
            unit="none",
        ),
    ],
)

BOARD = dashboard(
    "heyday-api-performance",
    "heyday · API Performance",
    "What is asked of the API, how fast does it answer, and what?",
    [TRAFFIC, SPEED, TROUBLE],
)
