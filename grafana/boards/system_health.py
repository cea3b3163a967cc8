"""System Health: is everything there that has to be, and does it do its work? The one to begin with."""

from __future__ import annotations

from grafana.dashboard import Row, dashboard
from grafana.panels import CIRCUIT, GREEN, NONE_IS_GOOD, ORANGE, RED, UP, figure, series, table, timeline

NOW = Row(
    "Now",
    [
        figure(
            "How many nodes answer?",
            "Those that Prometheus reaches, beside those that live as far as they know of each other. They should agree.",
            {"answer": "sum(up{ALL})", "live": "max(nodes_living{ALL})"},
            unit="none",
            steps=((None, RED), (1, GREEN)),
        ),
        figure(
            "May greetings leave?",
            "The circuit of the email service, the worst of all nodes: while it is open nothing leaves and nothing is lost.",
            {"circuit": "max(circuit_breaker_state{NODE})"},
            unit="none",
            words=CIRCUIT,
        ),
        figure(
            "Is every server there?",
            "The worst that a node says of PostgreSQL, Redis and RabbitMQ.",
            {"{{system}}": "min by (system) (dependency_up{NODE})"},
            unit="none",
            words=UP,
        ),
        figure(
            "For how long has anything been due?",
            "Age of the oldest message that should have left. In a wave it rises as long as the wave takes.",
            {"oldest": "max(oldest_due_message_age_seconds{NODE})"},
            unit="s",
            steps=((None, GREEN), (60, ORANGE), (300, RED)),
        ),
        figure(
            "How far ahead is everything planned?",
            "Between 24 and 48 hours with the usual daily job. Greetings beyond are not made yet.",
            {"ahead": "max(planned_ahead_seconds{NODE})"},
            unit="s",
            steps=((None, RED), (24 * 3600, GREEN)),
        ),
        figure(
            "How many alerts fire?",
            "Of those in deploy/alerts. The list is below.",
            {"alerts": 'count(ALERTS{app="heyday", alertstate="firing"}) or vector(0)'},
            unit="none",
            steps=NONE_IS_GOOD,
        ),
    ],
)

LATELY = Row(
    "Lately",
    [
        timeline(
            "Which alerts fired, and when?",
            "Each bar is an alert of deploy/alerts; docs/OPERATIONAL_RUNBOOK.md has a section for each.",
            {"{{alertname}}": 'max by (alertname) (ALERTS{app="heyday", alertstate="firing"})'},
            words={1: ("fires", RED)},
            none="none fired",
        ),
        timeline(
            "Which server was away, and for which node?",
            "A server is away while an actor waits for it. `cluster` is a database that the node refuses.",
            {"{{system}} for {{node}}": "dependency_up{NODE} NAMED"},
            words=UP,
        ),
        series(
            "Did a node come, go, or die?",
            "Nodes not found dead, and those that were found dead: a drained node leaves without dying.",
            {"living": "max(nodes_living{NODE})", "died": "sum(increase(node_deaths_total{NODE}[$__rate_interval]))"},
            unit="none",
        ),
        table(
            "Which version runs where?",
            "Of heyday and of its time zone data. They differ for long only by mistake.",
            "heyday_info{NODE}",
            unit="none",
            columns={"node": "node", "instance": "address", "version": "version", "tzdata": "time zones"},
        ),
    ],
)

PROCESSES = Row(
    "Processes",
    [
        series(
            "How busy is each node?",
            "Processor time per second; a node is one process on one core, so 100 % is all it can do.",
            {"{{node}}": "rate(process_cpu_seconds_total{NODE}[$__rate_interval]) NAMED"},
            unit="percentunit",
            width=8,
            limits=((0.9, ORANGE),),
        ),
        series(
            "How much memory does each node take?",
            "Resident. It does not grow with the backlog.",
            {"{{node}}": "process_resident_memory_bytes{NODE} NAMED"},
            unit="bytes",
            width=8,
        ),
        series(
            "Does something hold up a whole process?",
            "How late the event loop ran what was due, at worst, in the last seconds.",
            {"{{node}}": "event_loop_lag_seconds{NODE} NAMED"},
            unit="s",
            width=8,
            limits=((0.5, ORANGE),),
        ),
        series(
            "Which actor cannot keep up?",
            "The ten fullest mailboxes. A full one makes its senders wait, back to the source.",
            {"{{actor}}": "topk(10, max by (actor) (actor_mailbox_depth{NODE}))"},
            unit="none",
            width=8,
        ),
        series(
            "Are the machines' clocks right?",
            "A node's clock minus the database's. The database's decides, so nothing is early for it, but logs mislead.",
            {"{{node}}": "clock_skew_seconds{NODE} NAMED"},
            unit="s",
            width=8,
            least=None,
            limits=((-5, ORANGE), (-4.999, GREEN), (5, ORANGE)),
        ),
        series(
            "How near is a node to its limit of open files?",
            "Connections are files. At 100 % it can open no more.",
            {"{{node}}": "process_open_fds{NODE} / process_max_fds{NODE} NAMED"},
            unit="percentunit",
            width=8,
            limits=((0.8, ORANGE),),
        ),
    ],
)

JOBS = Row(
    "Jobs",
    [
        figure(
            "When did each job last succeed?",
            "On any node. The daily job plans, the minute job hands out, recovery finds what was lost.",
            {"{{exported_job}}": "time() - max by (exported_job) (job_last_success_timestamp_seconds{ALL})"},
            unit="s",
            width=8,
            height=6,
            steps=((None, GREEN), (25 * 3600, RED)),
        ),
        series(
            "Do the jobs run, and do they succeed?",
            "Runs by outcome, over the chosen nodes.",
            {
                "{{exported_job}} {{outcome}}": "sum by (exported_job, outcome) (increase(job_runs_total{NODE}[$__rate_interval]))"
            },
            unit="none",
            width=8,
            height=6,
        ),
        series(
            "Does a job take longer than it used to?",
            "Mean duration of a run, by job.",
            {
                "{{exported_job}}": """
                    sum by (exported_job) (rate(job_duration_seconds_sum{NODE}[$__rate_interval]))
                    / (sum by (exported_job) (rate(job_duration_seconds_count{NODE}[$__rate_interval])) > 0)
                """
            },
            unit="s",
            width=8,
            height=6,
        ),
        figure(
            "How old are the time zone data?",
            "Since the release at the earliest, so up to half a year too old. After a year an update is overdue.",
            {"age": "time() - min(tzdata_release_timestamp_seconds{NODE})"},
            unit="s",
            width=6,
            steps=((None, GREEN), (300 * 86400, ORANGE), (365 * 86400, RED)),
        ),
        figure(
            "Did the database's clock jump?",
            "Within the time shown: it was set, or its machine was suspended. Noticed within two seconds, and caught up.",
            {"jumps": "sum(increase(clock_jumps_total{NODE}[$__range]))"},
            unit="none",
            width=6,
            steps=NONE_IS_GOOD,
        ),
    ],
)

BOARD = dashboard(
    "heyday-system-health",
    "heyday · System Health",
    "Is everything there that has to be, and does it do its work?",
    [NOW, LATELY, PROCESSES, JOBS],
)
