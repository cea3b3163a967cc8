"""Error Tracking: what fails, and why?"""

from __future__ import annotations

from grafana.dashboard import Row, dashboard
from grafana.panels import CIRCUIT, GREEN, NONE_IS_GOOD, ORANGE, RED, UP, figure, series, timeline

NOW = Row(
    "What needs a person",
    [
        figure(
            "How many greetings failed? · messages failed",
            "Messages that were refused, or whose attempts are spent, within the time shown. They can be redriven.",
            {"failed": 'sum(increase(messages_failed_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How many are in the dead-letter queue? · dead letters (DLQ)",
            "Ids of failed messages.",
            {"dead letters": "max(dead_letters{ALL})"},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How many wait for a decision? · unknown outcome, held",
            "Messages in state `unknown`: the service may have accepted them.",
            {"held": 'max(messages_by_status{ALL, status="unknown"})'},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "Is a row damaged? · messages set aside",
            "Messages set aside within the time shown, because PostgreSQL cannot change their rows.",
            {"set aside": "sum(increase(messages_set_aside_total{NODE}[$__range]))"},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How many expired? · messages expired",
            "Messages that passed HEYDAY_LATE_LIMIT before they were sent, within the time shown.",
            {"expired": 'sum(increase(messages_expired_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
            steps=((None, GREEN), (0.001, RED)),
        ),
        figure(
            "How many attempts have an unknown outcome? · unknown outcomes",
            "Attempts without an answer, within the time shown. A service that honours Idempotency-Key delivers each message once.",
            {"unknown": 'sum(increase(messages_outcome_unknown_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How often did an actor crash? · actor restarts",
            "Crashes within the time shown. An outage is not a crash; each crash is a bug.",
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
            "When could greetings leave, and when was the circuit open? · circuit breaker state",
            "The circuit by node; each node judges by its own calls. While it is half-open, one call is the trial and the others wait.",
            {"{{node}}": 'circuit_breaker_state{NODE, service="message-api"} NAMED'},
            words=CIRCUIT,
            height=5,
        ),
        timeline(
            "Why does the email service accept nothing? · email service state",
            "The reason of each open circuit. Unreachable: no connection. Not authorised: the credentials are wrong.",
            {"{{reason}} for {{node}}": "(email_service_state{NODE} > 0) NAMED"},
            words={1: ("reason", RED)},
            height=5,
            none="it accepts",
        ),
        series(
            "Which email service takes the greetings? · sent by service",
            "Greetings per second by the email service that took them: `message-api`, or `message-api-fallback`.",
            {"{{service}}": "sum by (service) (rate(messages_sent_by_service_total{NODE}[$__rate_interval]))"},
            unit="suffix: /s",
            stacked=True,
        ),
        series(
            "Does the email service throttle? · rate limit, 429",
            "Calls per second that all nodes together may make now. After a 429 the rate falls, then it grows again.",
            {
                "allowed now": "min(email_rate_limit_per_second{NODE})",
                "configured": "min(email_rate_configured_per_second{NODE})",
            },
            unit="suffix: /s",
        ),
        series(
            "Did a person change a limit? · run-time limits",
            "1 while a run-time limit stands above the setting of its name, and the calls that a node may have in flight.",
            {
                "{{limit}}": "max by (limit) (limit_in_effect{NODE})",
                "calls in flight": "min(email_concurrency{NODE})",
            },
            unit="short",
        ),
        series(
            "Why are greetings tried again? · retries by cause",
            "Retries per second by cause. `not_attempted`: claimed, but the circuit had opened.",
            {
                "{{cause}}": 'sum by (cause) (rate(messages_retried_total{NODE, occasion=~"$occasion"}[$__rate_interval]))'
            },
            unit="suffix: /s",
            stacked=True,
        ),
        series(
            "What does the email service answer? · attempts by outcome",
            "Calls per second by outcome. `transient_failure` is tried again, `permanent_failure` is final, `unknown` got no answer.",
            {"{{outcome}}": "sum by (outcome) (rate(message_delivery_duration_seconds_count{NODE}[$__rate_interval]))"},
            unit="suffix: /s",
            stacked=True,
        ),
        series(
            "How long does a call take? · email call latency p50, p95, p99",
            "Percentiles over all outcomes. Calls that reach HEYDAY_EMAIL_TIMEOUT have an unknown outcome.",
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
            "Which share of the calls is not accepted? · email error rate",
            "Calls that were not accepted, as a share of all calls. HEYDAY_CIRCUIT_FAILURES failures in a row open the circuit.",
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
            "Which calls does the circuit count? · circuit breaker successes and failures",
            "Calls per second that count as success (`for`) and as failure (`against`).",
            {
                "for": "sum(rate(circuit_breaker_successes_total{NODE}[$__rate_interval]))",
                "against": "sum(rate(circuit_breaker_failures_total{NODE}[$__rate_interval]))",
            },
            unit="suffix: /s",
        ),
        series(
            "Which greetings fail for good? · messages failed by occasion",
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
            "Which server was away, and for which node? · outages by node",
            "A server is away while an actor waits for it. `cluster` means that the node refuses its database.",
            {"{{system}} for {{node}}": "dependency_up{NODE} NAMED"},
            words=UP,
        ),
        series(
            "How often does a server go away? · outages by system",
            "Outages, counted by each node.",
            {"{{system}}": "sum by (system) (increase(outages_total{NODE}[$__rate_interval]))"},
            unit="none",
            width=8,
        ),
        series(
            "Does the broker confirm what is published? · publishes not confirmed",
            "Messages whose publishing was not confirmed, which are published again, and failed ones, whose ids became dead letters.",
            {
                "not confirmed, or dead letters": "sum(increase(queue_messages_failed_total{NODE}[$__rate_interval]))",
                "not delivered": "sum(increase(queue_messages_lost_total{NODE}[$__rate_interval]))",
            },
            unit="short",
            width=8,
        ),
        series(
            "Did a node die, and was its work taken over? · node deaths, reclaimed entries",
            "Nodes found dead, and the stream entries put back for them.",
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
            "Which actor crashes? · actor restarts by actor",
            "Restarts after a crash. More than 20 in a minute end the node.",
            {"{{actor}}": "sum by (actor) (increase(actor_restarts_total{NODE}[$__rate_interval]))"},
            unit="none",
            width=8,
        ),
        series(
            "Which actor has failing tasks? · task failures by actor",
            "Isolated tasks of an actor that ended with an unexpected error. The actor itself went on.",
            {"{{actor}}": "sum by (actor) (increase(actor_task_failures_total{NODE}[$__rate_interval]))"},
            unit="none",
            width=8,
        ),
        series(
            "Which job fails? · failed job runs",
            "Runs that ended with an error. They are repeated.",
            {
                "{{exported_job}}": """
                    sum by (exported_job) (increase(job_runs_total{NODE, outcome="failed"}[$__rate_interval]))
                """
            },
            unit="none",
            width=8,
        ),
        series(
            "Does the API answer with server errors? · error rate, 5xx",
            "Requests per second answered with 5xx.",
            {"5xx": '(sum(rate(http_requests_total{NODE, status_code=~"5.."}[$__rate_interval])) or vector(0))'},
            unit="reqps",
        ),
        series(
            "How much repeated work was dropped, and where? · duplicates suppressed",
            "Repeated work that was dropped: in the row, when recording outcomes, by a dedupe key, or in planning.",
            {"{{by}}": "sum by (by) (increase(duplicates_suppressed_total{NODE}[$__rate_interval]))"},
            unit="none",
        ),
    ],
)

BOARD = dashboard(
    "heyday-error-tracking",
    "heyday · Error Tracking",
    "What fails, and why?",
    [NOW, SERVICE, SERVERS, BUGS],
    by_occasion=True,
)
