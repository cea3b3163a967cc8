"""Message Processing: do greetings leave at 09:00, and where are those that do not?"""

from __future__ import annotations

from grafana.dashboard import Row, dashboard
from grafana.panels import GREEN, NONE_IS_GOOD, ORANGE, RED, figure, heatmap, series


def _share_on_time(window: str) -> str:
    """The share of a window's greetings that left within the 60 s of the objective."""
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
            "How many greetings left? · messages sent",
            "Recorded as sent within the time shown.",
            {"sent": 'sum(increase(messages_sent_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
        ),
        figure(
            "How many left in time? · on-time share (SLI)",
            "Of the greetings that left within the time shown: the share that left within 60 s of the due instant.",
            {"in time": _share_on_time("$__range")},
            unit="percentunit",
            steps=((None, RED), (0.99, ORANGE), (0.999, GREEN)),
        ),
        figure(
            "How much of the budget is spent? · error budget (SLO)",
            "Late greetings as a share of the allowed one in a thousand. Choose 30 days to see the month.",
            {"spent": f"(1 - {_share_on_time('$__range')}) / 0.001"},
            unit="percentunit",
            steps=((None, GREEN), (0.5, ORANGE), (1, RED)),
        ),
        figure(
            "Is sending held? · holds",
            "By a person: `all` is everything. `heyday holds` says who, why and until when.",
            {"{{occasion}}": "max by (occasion) (sending_held{NODE})"},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How many are suppressed? · suppressions",
            "Messages that were cancelled within the time shown, because nothing may be written to the address.",
            {"{{reason}}": "sum by (reason) (increase(suppressed_total{NODE}[$__range]))"},
            unit="short",
        ),
        figure(
            "What do email services report? · webhook events: bounces, complaints",
            "Events of their webhooks within the time shown. Bounces, complaints and opt-outs suppress the address.",
            {"{{event}}": "sum by (event) (increase(email_events_total{NODE}[$__range]))"},
            unit="short",
        ),
        figure(
            "How many expired? · messages expired",
            "Messages that passed HEYDAY_LATE_LIMIT before they were sent, within the time shown.",
            {"expired": 'sum(increase(messages_expired_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
            steps=((None, GREEN), (0.001, RED)),
        ),
        figure(
            "How many failed for good? · messages failed",
            "Messages that were refused, or whose attempts are spent, within the time shown.",
            {"failed": 'sum(increase(messages_failed_total{NODE, occasion=~"$occasion"}[$__range]))'},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        figure(
            "How many wait for a person? · unknown outcome, held",
            "Messages in state `unknown`: the service may have accepted them. A person decides.",
            {"held": 'max(messages_by_status{ALL, status="unknown"})'},
            unit="short",
            steps=NONE_IS_GOOD,
        ),
        series(
            "How does the wave of 09:00 leave? · throughput, messages/s",
            "Greetings recorded as sent per second. Waves start at the full hours of the time zones.",
            {
                "{{occasion}}": 'sum by (occasion) (rate(messages_sent_total{NODE, occasion=~"$occasion"}[$__rate_interval]))'
            },
            unit="suffix: /s",
            stacked=True,
        ),
        series(
            "How late are greetings, against the objective? · lateness p50, p95, p99, p99.9 (SLO)",
            "From the due instant to the start of the accepted attempt. The dashed line is the objective: 99.9 % within 60 s.",
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
            "Were all greetings late, or only a few? · lateness histogram",
            "Greetings by lateness. An outage is a stripe that rises. Retries are a faint cloud above the rest.",
            'sum by (le) (increase(message_lateness_seconds_bucket{NODE, occasion=~"$occasion"}[$__rate_interval]))',
            unit="s",
        ),
        series(
            "Which share left in time recently? · on-time share, burn rate (SLO)",
            "From the recording rules of the alerts. Below the dashed line more greetings are late than the budget allows.",
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
            "Where are the messages now? · messages by status",
            "Messages by state, without `scheduled`, which are the messages of the coming days.",
            {"{{status}}": 'max by (status) (messages_by_status{ALL, status!="scheduled"})'},
            unit="short",
            stacked=True,
        ),
        series(
            "Is a message due and not sent? · oldest due age",
            "Age of the oldest due message. Unlike lateness, it also shows a problem while nothing leaves.",
            {"oldest": "max(oldest_due_message_age_seconds{ALL})"},
            unit="s",
            limits=((600, RED),),
        ),
        series(
            "Do senders keep up with what is handed out? · delivery queue, messages in and out",
            "Messages per second into and out of the delivery queue.",
            {
                "published": "sum(rate(queue_messages_enqueued_total{NODE}[$__rate_interval]))",
                "taken": "sum(rate(queue_messages_processed_total{NODE}[$__rate_interval]))",
            },
            unit="suffix: /s",
        ),
        series(
            "How much waits between ticker and senders? · queue depth, backlog",
            "`messages`: queued and not yet claimed for sending. `bundles`: bundles of up to 200 messages that no node has taken.",
            {"messages": "max(queue_depth_total{ALL})", "bundles": "max(delivery_queue_ready{ALL})"},
            unit="short",
            limits=((1000, ORANGE),),
        ),
    ],
)

STREAMS = Row(
    "Streams",
    [
        series(
            "Which node holds claimed entries? · pending entries by consumer",
            "Pending entries of each stream by consumer. The consumer is the node's id.",
            {"{{stream}} {{consumer}}": "max by (stream, consumer) (stream_consumer_pending{ALL})"},
            unit="none",
            stacked=True,
        ),
        series(
            "Is claimed work not finished? · oldest pending entry",
            "Age of the oldest pending entry of each stream. Other nodes take over the entries of a dead node within 15 s.",
            {"{{stream}}": "max by (stream) (stream_oldest_pending_seconds{ALL})"},
            unit="s",
            limits=((300, ORANGE),),
        ),
        series(
            "Does work wait in a stream to be claimed? · stream length",
            "Entries of each stream. Finished entries are deleted.",
            {"{{stream}}": "max by (stream) (stream_length{ALL})"},
            unit="none",
            width=8,
        ),
        series(
            "How much was taken over from dead nodes? · reclaimed entries",
            "Entries put back because their node died.",
            {"{{stream}}": "sum by (stream) (increase(stream_reclaimed_total{NODE}[$__rate_interval]))"},
            unit="none",
            width=8,
        ),
        series(
            "How much repeated work was dropped, and where? · duplicates suppressed",
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
        figure(
            "When does the next wave come? · time to next wave",
            "Until the next scheduled messages become due.",
            {"next": "max(next_wave_seconds{ALL})"},
            unit="s",
            none="nothing is scheduled",
        ),
        figure(
            "How large is the next wave? · messages in next wave",
            "Messages that become due at that instant; exact up to 10,000.",
            {"messages": "max(next_wave_messages{ALL})"},
            unit="short",
        ),
        series(
            "Was everything sent that was planned for a day? · planned against sent, 24 h",
            "Planned: what has ended within 24 hours, and what is on its way now. The gap failed, expired or waits.",
            {
                "planned": """
                    sum(increase(messages_sent_total{NODE, occasion=~"$occasion"}[1d]))
                    + sum(increase(messages_failed_total{NODE, occasion=~"$occasion"}[1d]))
                    + sum(increase(messages_expired_total{NODE, occasion=~"$occasion"}[1d]))
                    + sum(max by (status) (messages_by_status{ALL, status=~"queued|sending|retrying"}))
                """,
                "sent": """sum(increase(messages_sent_total{NODE, occasion=~"$occasion"}[1d]))""",
            },
            unit="short",
            width=16,
            height=4,
        ),
        series(
            "Did planning make the messages of the days ahead? · messages planned",
            "Messages made. Most come with the daily job, the others with new users.",
            {"made": "sum(increase(messages_planned_total{NODE}[$__rate_interval]))"},
            unit="short",
        ),
        series(
            "Will tomorrow's greetings be there in time? · planned ahead",
            "How far ahead everything is planned, and the least that it should be.",
            {"planned ahead": "max(planned_ahead_seconds{ALL})"},
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
