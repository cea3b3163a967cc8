"""API Performance: requests, answers and their duration."""

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
            "How many requests were there? · requests",
            "Requests within the time shown, health checks and scrapes included.",
            {"requests": "sum(increase(http_requests_total{NODE}[$__range]))"},
            unit="short",
            width=6,
        ),
        figure(
            "Which share had a server error? · error rate, 5xx",
            "Answered with 5xx within the time shown. 503 means that a mailbox was full or a server was away.",
            {"5xx": _share("5..", "$__range")},
            unit="percentunit",
            width=6,
            steps=((None, GREEN), (0.001, ORANGE), (0.01, RED)),
        ),
        figure(
            "How long did the slowest one in a hundred take? · latency p99",
            "99th percentile of the duration of all requests within the time shown.",
            {
                "p99": """histogram_quantile(0.99, sum by (le) (increase(http_request_duration_seconds_bucket{NODE}[$__range])))"""
            },
            unit="s",
            width=6,
            steps=((None, GREEN), (0.5, ORANGE), (2, RED)),
        ),
        figure(
            "How many exceeded the rate limit? · throttled, 429",
            "Answered with 429 within the time shown (HEYDAY_RATE_LIMIT).",
            {"429": 'sum(increase(http_requests_total{NODE, status_code="429"}[$__range])) or vector(0)'},
            unit="short",
            width=6,
            steps=NONE_IS_GOOD,
        ),
        series(
            "What is requested? · request rate by route",
            "Requests per second by method and route. `unmatched` are paths that the API does not have.",
            {"{{method}} {{route}}": "sum by (method, route) (rate(http_requests_total{NODE}[$__rate_interval]))"},
            unit="reqps",
            stacked=True,
        ),
        series(
            "Who asks? · request rate by key",
            "Requests per second by the name of the API key. Requests without a valid key are not counted here.",
            {"{{key}}": "sum by (key) (rate(http_requests_by_key_total{NODE}[$__rate_interval]))"},
            unit="reqps",
            stacked=True,
        ),
        series(
            "What is answered? · request rate by status code",
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
            "How long does an answer take? · latency p50, p95, p99",
            "Percentiles of the duration of all requests.",
            {"p50": _quantile(0.5), "p95": _quantile(0.95), "p99": _quantile(0.99)},
            unit="s",
            logarithmic=True,
        ),
        series(
            "Which route is slow? · latency p95 by route",
            "95th percentile by route, the ten slowest. An import takes as long as its rows.",
            {"{{method}} {{route}}": f"topk(10, {_quantile(0.95, 'le, method, route')})"},
            unit="s",
            logarithmic=True,
        ),
        heatmap(
            "Are all slow, or only some? · latency histogram",
            "Requests by their duration.",
            "sum by (le) (increase(http_request_duration_seconds_bucket{NODE}[$__rate_interval]))",
            unit="s",
        ),
        table(
            "Which requests cost the most time? · total time by route",
            "Seconds spent on each route within the time shown, by status code.",
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
            "Which share of the requests fails: client or server errors? · error rate, 4xx and 5xx",
            "`client`: answered with 4xx. `server`: answered with 5xx.",
            {
                "client": _share("4..", "$__rate_interval"),
                "server": _share("5..", "$__rate_interval"),
            },
            unit="percentunit",
            limits=((0.01, ORANGE),),
        ),
        series(
            "Which answers are errors? · errors by route and status code",
            "Requests per second that were answered with 4xx or 5xx, by route and status code.",
            {
                "{{route}} {{status_code}}": """
                    sum by (route, status_code) (rate(http_requests_total{NODE, status_code=~"[45].."}[$__rate_interval]))
                """
            },
            unit="reqps",
        ),
        series(
            "Is the API's process blocked? · event loop lag",
            "The greatest delay of the event loop in the last 30 seconds. A request waits that long.",
            {"{{node}}": "event_loop_lag_seconds{NODE} NAMED"},
            unit="s",
        ),
        series(
            "Does the API wait for the database? · pool, waiting statements",
            "Statements of each node that wait for a connection.",
            {"{{node}}": "db_connections_waiting{NODE} NAMED"},
            unit="none",
        ),
    ],
)

BOARD = dashboard(
    "heyday-api-performance",
    "heyday · API Performance",
    "What do clients request, what does the API answer, and how fast?",
    [TRAFFIC, SPEED, TROUBLE],
)
