"""Error Tracking: what goes wrong, whose fault is it, and what does it cost?"""

from __future__ import annotations

from grafana.dashboard import Row, dashboard
from grafana.panels import CIRCUIT, GREEN, NONE_IS_GOOD, ORANGE, RED, UP, figure, series, timeline

NOW = Row(
    "What needs a person",
    [
        figure(
            "How many greetings failed?",
            "Refused, or out of attempts, within the time shown. They can be redriven.",
            {"failed": 'sum(increase(messages_failed_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How many are in the dead-letter queue?",
            "Copies of messages that failed, to look at.",
            {"dead letters": "max(dead_letters{NODE})"},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How many wait for a decision?",
            "Messages held because nobody knows whether they were accepted.",
            {"held": 'max(messages_by_status{NODE, status="unknown"})'},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How many were too late to send?",
            "Messages that passed HEYDAY_LATE_LIMIT unsent within the time shown.",
            {"expired": 'sum(increase(messages_expired_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
            steps=((None, GREEN), (0.001, RED)),
        ),
        figure(
            "How often might somebody be greeted twice?",
            "Attempts within the time shown whose outcome nobody knows. A service that honours Idempotency-Key delivers once.",
            {"unknown": 'sum(increase(messages_outcome_unknown_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How often did an actor crash?",
            "Within the time shown. An outage is no crash: each is a bug.",
            {"crashes": "sum(increase(actor_restarts_total{NODE}[$__range]))"},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
    ],
)

SERVICE = Row(
    "The email service",
    [
        timeline(
            "When could greetings leave, and when was the circuit open?",
            "By node: each judges by its own calls. Half-open, one call is the trial and all others wait for its result.",
            {"{{node}}": 'circuit_breaker_state{NODE, service="message-api"} NAMED'},
            words=CIRCUIT,
            height=5,
        ),
        series(
            "Why are greetings tried again?",
            "Retries per second by cause. `not_attempted`: claimed, but the circuit had opened.",
            {
                "{{cause}}": 'sum by (cause) (rate(messages_retried_total{NODE, occasion=~"$occasion"}[$__rate_interval]))'
            },
            unit="suffix: /s",
            stacked=True,
        ),
        series(
            "What does the email service answer?",
            "Calls per second by outcome. `rejected` is tried again, `refused` is final, `unknown` got no answer.",
            {"{{outcome}}": "sum by (outcome) (rate(message_delivery_duration_seconds_count{NODE}[$__rate_interval]))"},
            unit="suffix: /s",
            stacked=True,
        ),
        series(
            "How long does a call take?",
            "Percentiles over all outcomes. Near HEYDAY_EMAIL_TIMEOUT outcomes become unknown.",
            {
                f"p{100 * quantile:g}": f"""
                    histogram_quantile({quantile:g}, sum by (le) (
                        rate(message_delivery_duration_seconds_bucket{{NODE}}[$__rate_interval])))
                """
                for quantile in (0.5, 0.95, 0.99)
            },
            unit="s",
            logarithmic=True,
        ),
        series(
            "Which share of the calls does not succeed?",
            "Calls that were not accepted, of all calls. Beyond HEYDAY_CIRCUIT_FAILURES failures in a row the circuit opens.",
            {
                "not accepted": """
                    sum(rate(message_delivery_duration_seconds_count{NODE, outcome!="accepted"}[$__rate_interval]))
                    / sum(rate(message_delivery_duration_seconds_count{NODE}[$__rate_interval]))
                """
            },
            unit="percentunit",
            limits=((0.25, ORANGE),),
        ),
        series(
            "What does the circuit judge by?",
            "Calls per second that count for it and against it.",
            {
                "for": "sum(rate(circuit_breaker_successes_total{NODE}[$__rate_interval]))",
                "against": "sum(rate(circuit_breaker_failures_total{NODE}[$__rate_interval]))",
            },
            unit="suffix: /s",
        ),
        series(
            "Which greetings fail for good?",
            "Messages recorded as failed, by occasion.",
            {
                "{{occasion}}": """
                    sum by (occasion) (increase(messages_failed_total{NODE, occasion=~"$occasion"}[$__rate_interval]))
                """
            },
            unit="short",
        ),
    ],
)

SERVERS = Row(
    "Servers and nodes",
    [
        timeline(
            "Which server was away, and for which node?",
            "A server is away while an actor waits for it. `cluster` is a database that the node refuses.",
            {"{{system}} for {{node}}": "dependency_up{NODE} NAMED"},
            words=UP,
        ),
        series(
            "How often does a server go away?",
            "Outages as each node met them.",
            {"{{system}}": "sum by (system) (increase(outages_total{NODE}[$__rate_interval]))"},
            unit="none",
            width=8,
        ),
        series(
            "Does the broker confirm what is published?",
            "Messages whose publishing was not confirmed. They are published again.",
            {"not confirmed": "sum(increase(queue_messages_failed_total{NODE}[$__rate_interval]))"},
            unit="short",
            width=8,
        ),
        series(
            "Did a node die, and was its work taken over?",
            "Nodes found dead, and stream entries put back for them.",
            {
                "deaths": "sum(increase(node_deaths_total{NODE}[$__rate_interval]))",
                "entries taken over": "sum(increase(stream_reclaimed_total{NODE}[$__rate_interval]))",
            },
            unit="none",
            width=8,
        ),
    ],
)

BUGS = Row(
    "Bugs",
    [
        series(
            "Which actor crashes?",
            "Restarts after a crash. More than 20 in a minute end the node.",
            {"{{actor}}": "sum by (actor) (increase(actor_restarts_total{NODE}[$__rate_interval]))"},
            unit="none",
            width=8,
        ),
        series(
            "Which actor's tasks fail without it?",
            "Tasks of an actor that ended with an error that it did not expect.",
            {"{{actor}}": "sum by (actor) (increase(actor_task_failures_total{NODE}[$__rate_interval]))"},
            unit="none",
            width=8,
        ),
        series(
            "Which job fails?",
            "Runs that ended with an error; they are done again.",
            {
                "{{exported_job}}": """
                    sum by (exported_job) (increase(job_runs_total{NODE, outcome="failed"}[$__rate_interval]))
                """
            },
            unit="none",
            width=8,
        ),
        series(
            "Does the API fail on our side?",
            "Requests per second answered with 5xx.",
            {"5xx": '(sum(rate(http_requests_total{NODE, status_code=~"5.."}[$__rate_interval])) or vector(0))'},
            unit="reqps",
        ),
        series(
            "How much was done twice, and where was that stopped?",
            "Repeated work that was dropped: in the row, in the record of outcomes, by a key in Redis, in planning.",
            {"{{by}}": "sum by (by) (increase(duplicates_suppressed_total{NODE}[$__rate_interval]))"},
            unit="none",
        ),
    ],
)

BOARD = dashboard(
    "heyday-error-tracking",
    "heyday · Error Tracking",
    "What goes wrong, whose fault is it, and what does it cost?",
    [NOW, SERVICE, SERVERS, BUGS],
    by_occasion=True,
)
