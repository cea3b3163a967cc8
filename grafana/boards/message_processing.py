"""Message Processing: do greetings leave at 09:00, and where on their way are those that do not?"""

from __future__ import annotations

from grafana.dashboard import Row, dashboard
from grafana.panels import GREEN, NONE_IS_GOOD, ORANGE, RED, figure, heatmap, series


def _share_on_time(window: str) -> str:
    """Of the greetings of a window, the share that left within the objective's 60 s."""
    return f"""
        sum(increase(message_lateness_seconds_bucket{{NODE, occasion=~"$occasion", le="60.0"}}[{window}]))
        / sum(increase(message_lateness_seconds_count{{NODE, occasion=~"$occasion"}}[{window}]))
    """


def _lateness(quantile: float) -> str:
    return f"""
        histogram_quantile({quantile:g}, sum by (le) (
            rate(message_lateness_seconds_bucket{{NODE, occasion=~"$occasion"}}[$__rate_interval])))
    """


OBJECTIVE = Row(
    "The objective: 99.9 % within 60 s of 09:00",
    [
        figure(
            "How many greetings left?",
            "Recorded as sent within the time shown.",
            {"sent": 'sum(increase(messages_sent_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
        ),
        figure(
            "How many of them in time?",
            "Share that was accepted within 60 s of its instant, of those that left within the time shown.",
            {"in time": _share_on_time("$__range")},
            unit="percentunit",
            steps=((None, RED), (0.99, ORANGE), (0.999, GREEN)),
        ),
        figure(
            "How much of the budget is spent?",
            "Late greetings of the time shown, as a share of the one in a thousand that may be late. Choose 30 days for the month.",
            {"spent": f"(1 - {_share_on_time('$__range')}) / 0.001"},
            unit="percentunit",
            steps=((None, GREEN), (0.5, ORANGE), (1, RED)),
        ),
        figure(
            "How many were too late to send?",
            "Messages that passed HEYDAY_LATE_LIMIT unsent within the time shown.",
            {"expired": 'sum(increase(messages_expired_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
            steps=((None, GREEN), (0.001, RED)),
        ),
        figure(
            "How many failed for good?",
            "Refused, or out of attempts, within the time shown.",
            {"failed": 'sum(increase(messages_failed_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How many wait for a person?",
            "Messages held because nobody knows whether they were accepted (HEYDAY_UNKNOWN_OUTCOME=hold).",
            {"held": 'max(messages_by_status{NODE, status="unknown"})'},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        series(
            "How does the wave of 09:00 leave?",
            "Greetings recorded as sent per second. A wave is a steep hill at the full hours of the time zones.",
            {
                "{{occasion}}": 'sum by (occasion) (rate(messages_sent_total{NODE, occasion=~"$occasion"}[$__rate_interval]))'
            },
            unit="suffix: /s",
            stacked=True,
        ),
        series(
            "How late are greetings, against the objective?",
            "From the instant due to the start of the accepted attempt. The dashed line is 60 s, within which 99.9 % have to be.",
            {
                "p50": _lateness(0.5),
                "p95": _lateness(0.95),
                "p99": _lateness(0.99),
                "p99.9": _lateness(0.999),
            },
            unit="s",
            logarithmic=True,
            limits=((60, RED),),
        ),
        heatmap(
            "Was everybody late, or were only a few?",
            "Greetings by how late they were. An outage is a stripe that climbs; retries are a faint cloud above the rest.",
            'sum by (le) (increase(message_lateness_seconds_bucket{NODE, occasion=~"$occasion"}[$__rate_interval]))',
            unit="s",
        ),
        series(
            "Which share left in time, lately?",
            "By the recording rules of the alerts: what is below the dashed line spends more than the budget.",
            {
                "5 minutes": "1 - heyday:greetings_late:ratio_rate5m",
                "1 hour": "1 - heyday:greetings_late:ratio_rate1h",
                "6 hours": "1 - heyday:greetings_late:ratio_rate6h",
                "3 days": "1 - heyday:greetings_late:ratio_rate3d",
            },
            unit="percentunit",
            least=None,
            limits=((None, RED), (0.999, GREEN)),
        ),
    ],
)

ON_THEIR_WAY = Row(
    "On their way",
    [
        series(
            "Where are the messages now?",
            "By state. `scheduled` is the stock of the days ahead, so it is left out.",
            {"{{status}}": 'max by (status) (messages_by_status{NODE, status!="scheduled"})'},
            unit="short",
            stacked=True,
        ),
        series(
            "Is anything due that nobody sends?",
            "Age of the oldest due message. Lateness is known once a greeting has left; this also tells while nothing leaves.",
            {"oldest": "max(oldest_due_message_age_seconds{NODE})"},
            unit="s",
            limits=((300, RED),),
        ),
        series(
            "Do senders keep up with what is handed out?",
            "Messages per second into the delivery queue and out of it.",
            {
                "published": "sum(rate(queue_messages_enqueued_total{NODE}[$__rate_interval]))",
                "taken": "sum(rate(queue_messages_processed_total{NODE}[$__rate_interval]))",
            },
            unit="suffix: /s",
        ),
        series(
            "How much waits between ticker and senders?",
            "Messages handed out and not yet claimed for sending, and the bundles of up to 50 that no node has taken.",
            {"messages": "max(queue_depth_total{NODE})", "bundles": "max(delivery_queue_ready{NODE})"},
            unit="short",
            limits=((1000, ORANGE),),
        ),
    ],
)

STREAMS = Row(
    "Streams",
    [
        series(
            "Which node sits on claimed entries?",
            "Pending entries of each stream by consumer, which is the node's id.",
            {"{{stream}} {{consumer}}": "max by (stream, consumer) (stream_consumer_pending{NODE})"},
            unit="none",
            stacked=True,
        ),
        series(
            "Is there claimed work that nobody takes over?",
            "Age of the oldest pending entry of each stream. A dead node's are taken over within 15 s.",
            {"{{stream}}": "max by (stream) (stream_oldest_pending_seconds{NODE})"},
            unit="s",
            limits=((300, ORANGE),),
        ),
        series(
            "Does work wait in a stream to be claimed?",
            "Entries of each stream; those finished are deleted.",
            {"{{stream}}": "max by (stream) (stream_length{NODE})"},
            unit="none",
            width=8,
        ),
        series(
            "How much was taken over from the dead?",
            "Entries put back because their node had died.",
            {"{{stream}}": "sum by (stream) (increase(stream_reclaimed_total{NODE}[$__rate_interval]))"},
            unit="none",
            width=8,
        ),
        series(
            "How much was done twice, and where was that stopped?",
            "Repeating is harmless: every step is a compare-and-set, and what did not move is counted here.",
            {"{{by}}": "sum by (by) (increase(duplicates_suppressed_total{NODE}[$__rate_interval]))"},
            unit="none",
            width=8,
        ),
    ],
)

PLANNING = Row(
    "Planning",
    [
        series(
            "Did planning make the messages of the days ahead?",
            "Messages made. Most come with the daily job, the others with new users.",
            {"made": "sum(increase(messages_planned_total{NODE}[$__rate_interval]))"},
            unit="short",
        ),
        series(
            "Will tomorrow's greetings be there in time?",
            "How far ahead everything is planned, and the least that it should be.",
            {"planned ahead": "max(planned_ahead_seconds{NODE})"},
            unit="s",
            limits=((None, RED), (24 * 3600, GREEN)),
        ),
    ],
)

BOARD = dashboard(
    "heyday-message-processing",
    "heyday · Message Processing",
    "Do greetings leave at 09:00, and where on their way are those that do not?",
    [OBJECTIVE, ON_THEIR_WAY, STREAMS, PLANNING],
    by_occasion=True,
)
